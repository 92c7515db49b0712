# shellcheck shell=bash disable=SC2034 # what is set here is used by those who source it
# What ops/up, ops/down and ops/test share. Sourced, never run. Needs nothing but bash and what Debian calls
# essential, because it runs before anything is installed.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
SERVER_USER=overread

# What the build needs, what the running server needs, and what only the tests need.
BUILD_PACKAGES=(gcc libc6-dev pkg-config meson ninja-build python3
    libh2o-evloop-dev libpq-dev libssl-dev libjansson-dev libargon2-dev libseccomp-dev libinih-dev libpcre2-dev
    libidn2-dev libqrencode-dev libfido2-dev libcbor-dev libzxcvbn-dev libcjose-dev libcsv-dev libarchive-dev libcurl4-openssl-dev)
RUN_PACKAGES=(postgresql-15 dcmtk libgdcm-tools curl jq)
TEST_PACKAGES=(g++ binutils libcmocka-dev python3-pytest python3-pytest-xdist python3-httpx python3-psycopg2 python3-aiosmtpd
    python3-cryptography haproxy dicom3tools prometheus shellcheck nghttp2-client argon2 locales
    oathtool zbar-tools librsvg2-bin sqlmap chromium)
# What ops/fuzz needs beside BUILD_PACKAGES.
FUZZ_PACKAGES=(clang-14 libclang-rt-14-dev)

say() { printf '%s\n' "$*" >&2; }
step() { printf '==> %s\n' "$*" >&2; }
die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# --- Installing -------------------------------------------------------------------------------------------------

# Runs a command as root: directly, or through sudo.
as_root() {
    if [[ $EUID -eq 0 ]]; then
        "$@"
    elif sudo -n true 2>/dev/null; then
        sudo -n "$@"
    else
        sudo "$@"
    fi
}

missing_packages() {
    local package
    for package in "$@"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || printf '%s\n' "$package"
    done
}

# Installs the packages that are missing, and starts none of their services: PostgreSQL must not make a cluster of
# its own, HAProxy and Prometheus are here for their command lines.
install_packages() {
    local missing log
    mapfile -t missing < <(missing_packages "$@")
    [[ ${#missing[@]} -gt 0 ]] || return 0
    command -v apt-get >/dev/null || die "needs a Debian system; install by hand what stands for: ${missing[*]}"
    if [[ $EUID -ne 0 ]]; then
        command -v sudo >/dev/null ||
            die "packages are missing and there is no sudo: as root, run: apt-get install ${missing[*]}"
        sudo -n true 2>/dev/null || [[ -t 0 ]] ||
            die "packages are missing and sudo wants a password: run 'sudo apt-get install ${missing[*]}' and try again"
    fi
    step "installing ${missing[*]}"
    # One shell, so that sudo asks once, and the guards go away again however it ends.
    log=$(mktemp)
    # shellcheck disable=SC2016 # the variables are those of the inner shell
    as_root env DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1 bash -euo pipefail -c '
        policy=/usr/sbin/policy-rc.d
        [[ -e $policy ]] || { printf "#!/bin/sh\nexit 101\n" >"$policy"; chmod 755 "$policy"; trap "rm -f $policy" EXIT; }
        conf=/etc/postgresql-common/createcluster.conf
        [[ -e $conf ]] || { mkdir -p "${conf%/*}"; printf "create_main_cluster = false\n" >"$conf"; }
        apt-get -o DPkg::Lock::Timeout=300 update
        apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@"
        for service in haproxy prometheus; do
            for package in "$@"; do
                [[ $package != "$service" ]] || systemctl disable "$service" >/dev/null 2>&1 || true
            done
        done' install "${missing[@]}" >"$log" 2>&1 || {
        tail -n 30 "$log" >&2
        rm -f "$log"
        die "apt-get could not install: ${missing[*]} (its message stands above; check the network and apt's sources)"
    }
    rm -f "$log"
}

# --- Building ---------------------------------------------------------------------------------------------------

# build DIR [meson setup option...]: configures when that was not done yet, and compiles what changed: all, or BUILD_TARGETS.
BUILD_TARGETS=()
build() {
    local dir=$1 log
    shift
    [[ ! -e $dir || -w $dir ]] ||
        die "$dir belongs to $(stat -c %U "$dir"): remove it, or run this as that user"
    log=$(mktemp)
    if [[ ! -e $dir/build.ninja ]]; then
        (cd "$ROOT" && meson setup "$dir" "$@") >"$log" 2>&1 || build_failed "$log" "$dir"
    elif [[ $# -gt 0 ]]; then
        meson configure "$dir" "$@" >"$log" 2>&1 || build_failed "$log" "$dir"
    fi
    ninja -C "$dir" "${BUILD_TARGETS[@]}" >"$log" 2>&1 || build_failed "$log" "$dir"
    rm -f "$log"
}

build_failed() {
    tail -n 60 "$1" >&2
    rm -f "$1"
    die "the build in $2 failed (messages above); if $2 is stale, remove it and try again"
}

# --- Users and directories --------------------------------------------------------------------------------------

# as_server COMMAND...: as the unprivileged user that owns the cluster and the server. choose_user comes first.
as_server() { "${AS_SERVER[@]}" "$@"; }

# Nothing is ever served as root: root uses the owner of what is there, or a system user made for it.
choose_user() {
    local dir=$1 owner
    RUN_USER=$(id -un)
    if [[ $EUID -eq 0 ]]; then
        owner=$(stat -c %U "$dir/pg" 2>/dev/null || true)
        if [[ -n $owner && $owner != root && $owner != UNKNOWN ]]; then
            RUN_USER=$owner
        else
            RUN_USER=$SERVER_USER
        fi
    elif [[ -d $dir/pg && ! -O $dir/pg ]]; then
        die "$dir belongs to $(stat -c %U "$dir/pg"): run this with sudo, or choose another --dir"
    fi
    AS_SERVER=(env)
    [[ $EUID -ne 0 ]] ||
        AS_SERVER=(setpriv "--reuid=$RUN_USER" "--regid=$(id -g "$RUN_USER" 2>/dev/null || printf '%s' "$RUN_USER")"
            --clear-groups --inh-caps=-all --no-new-privs env HOME=/nonexistent "USER=$RUN_USER")
}

short_hash() { printf '%s' "$1" | sha256sum | cut -c1-12; }

# A Unix socket's path is limited to 107 bytes, PostgreSQL appends /.s.PGSQL.5432, and what stands in connection
# strings should need no quoting.
socket_dir() {
    if [[ ${#1} -le 80 && ! $1 =~ [^A-Za-z0-9/._-] ]]; then
        printf '%s/run\n' "$1"
    else
        printf '/tmp/overread-%s-%s\n' "$(id -u "$RUN_USER")" "$(short_hash "$1")"
    fi
}

find_postgres() {
    local dir=$1 version
    version=15
    [[ ! -r $dir/pg/PG_VERSION ]] || version=$(<"$dir/pg/PG_VERSION")
    PG_BIN=/usr/lib/postgresql/$version/bin
    [[ -x $PG_BIN/postgres ]] || die "PostgreSQL $version is not at $PG_BIN: install the package postgresql-$version"
}

cluster_running() { as_server "$PG_BIN/pg_ctl" -D "$1/pg" status >/dev/null 2>&1; }

# server_pid DIR: the process id of the server that runs from DIR; fails when there is none. A pid file alone proves
# nothing, because numbers are used again.
server_pid() {
    local pid exe
    [[ -r $1/overread.pid ]] || return 1
    pid=$(<"$1/overread.pid")
    [[ $pid =~ ^[0-9]+$ && -e /proc/$pid ]] || return 1
    exe=$(readlink "/proc/$pid/exe" 2>/dev/null || true)
    [[ ${exe% (deleted)} == "$1/app/overread" ]] || return 1
    printf '%s\n' "$pid"
}

# stop_server DIR: SIGTERM, and time for what was accepted to finish.
stop_server() {
    local pid waited=0
    pid=$(server_pid "$1") || return 0
    kill -TERM "$pid" 2>/dev/null || die "may not stop process $pid of another user: run this with sudo"
    while [[ -e /proc/$pid/exe ]] && server_pid "$1" >/dev/null; do
        if [[ $waited -ge 300 ]]; then
            say "the server (process $pid) has not ended within 30 seconds: killing it; $1/overread.log may say why"
            kill -KILL "$pid" 2>/dev/null || true
            break
        fi
        sleep 0.1
        waited=$((waited + 1))
    done
    rm -f "$1/overread.pid"
}

stop_cluster() {
    cluster_running "$1" || return 0
    as_server "$PG_BIN/pg_ctl" -D "$1/pg" -m fast -w -t 60 stop >/dev/null ||
        die "PostgreSQL in $1/pg did not stop: see $1/pg.log"
}
