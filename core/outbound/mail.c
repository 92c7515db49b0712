#include "outbound/outbound_internal.h"

#include <string.h>

#include "base/clock.h"
#include "outbound/message.h"
#include "outbound/outbound_sql.h"
#include "outbound/templates.h"

/* The lease of a job is 120 s: whoever sends has ended before another takes it. The answer to our QUIT is waited for beside
 * the whole, and for as long as any answer. */
enum { CONNECT_MS = 15000, WHOLE_MS = 60000, ANSWER_S = 40, TOKEN_BYTES = 32, TOKEN_SIZE = 44 };
/* With the back-off's bound of an hour, half of it random, these are two days. */
enum { ATTEMPTS = 74, RETRY_MAX = 3600 };

struct mail {
    const struct config *config;
    bool encrypted;
    const char *url;
    struct mailbox from, to;
    const char *headers[8]; /* NULL-ended */
    struct template_filled words;
    /* What became of it. */
    CURLcode code;
    long answer; /* the server's last, 250 */
    bool sent_body;
};

/* --- On a thread of the pool --------------------------------------------------------------------------------------- */

static bool add_part(curl_mime *mime, struct text bytes, const char *type)
{
    curl_mimepart *part = curl_mime_addpart(mime);
    return part && curl_mime_data(part, bytes.p, bytes.len) == CURLE_OK && curl_mime_type(part, type) == CURLE_OK &&
           curl_mime_encoder(part, "quoted-printable") == CURLE_OK;
}

/* The last alternative is the one that a reader prefers. */
static CURLcode set_words(CURL *curl, curl_mime *mime, const struct template_filled *words)
{
    if (!mime || !add_part(mime, words->text, "text/plain; charset=utf-8") ||
        !add_part(mime, words->html, "text/html; charset=utf-8"))
        return CURLE_OUT_OF_MEMORY;
    return curl_easy_setopt(curl, CURLOPT_MIMEPOST, mime);
}

static CURLcode set_server(CURL *curl, struct mail *m)
{
    const struct config *config = m->config;
    CURLcode code = CURLE_OK;
    code = outbound_set(code, curl, CURLOPT_URL, m->url);
    code = outbound_set(code, curl, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    code = outbound_set(code, curl, CURLOPT_USE_SSL, (long)(m->encrypted ? CURLUSESSL_ALL : CURLUSESSL_NONE));
    code = outbound_set(code, curl, CURLOPT_SERVER_RESPONSE_TIMEOUT, (long)ANSWER_S);
    code = outbound_set(code, curl, CURLOPT_FORBID_REUSE, 1L); /* else QUIT is said later, without these limits */
    if (config->smtp_ca[0])
        code = outbound_set(code, curl, CURLOPT_CAINFO, config->smtp_ca);
    if (config->smtp_user[0]) {
        code = outbound_set(code, curl, CURLOPT_USERNAME, config->smtp_user);
        code = outbound_set(code, curl, CURLOPT_PASSWORD, config->smtp_password);
    }
    return code;
}

static bool append_all(struct curl_slist **list, const char *const *strings)
{
    for (; *strings; strings++) {
        struct curl_slist *longer = curl_slist_append(*list, *strings);
        if (!longer)
            return false;
        *list = longer;
    }
    return true;
}

static void transfer(void *arg)
{
    struct mail *m = arg;
    CURL *curl = outbound_handle(CONNECT_MS, WHOLE_MS);
    curl_mime *mime = curl ? curl_mime_init(curl) : NULL;
    struct curl_slist *headers = NULL, *recipients = NULL;
    bool good = curl && append_all(&headers, m->headers) && append_all(&recipients, (const char *const[]){m->to.address, NULL});
    m->code = good ? set_server(curl, m) : CURLE_OUT_OF_MEMORY;
    m->code = outbound_set(m->code, curl, CURLOPT_HTTPHEADER, headers);
    m->code = outbound_set(m->code, curl, CURLOPT_MAIL_FROM, m->from.address);
    m->code = outbound_set(m->code, curl, CURLOPT_MAIL_RCPT, recipients);
    if (m->code == CURLE_OK)
        m->code = set_words(curl, mime, &m->words);
    if (m->code == CURLE_OK) {
        curl_off_t sent = 0;
        m->code = curl_easy_perform(curl);
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &m->answer);
        curl_easy_getinfo(curl, CURLINFO_SIZE_UPLOAD_T, &sent);
        m->sent_body = sent > 0;
    }
    curl_slist_free_all(recipients);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    curl_mime_free(mime);
}

/* --- What is sent -------------------------------------------------------------------------------------------------- */

static int broken(struct job *job, struct error *err, const char *what)
{
    job->hopeless = true;
    return error_set(err, ERROR_INVALID, "mail_broken", NULL, "The queued mail has no good %s.", what);
}

/* Makes the link, and lets its token stand for the ticket from now on. 1: the ticket is void, there is nothing to send. */
static int issue(struct job *job, const char *ticket, const char *page, json_t *values, struct error *err)
{
    const struct config *config = outbound_config();
    const struct db_result *rows;
    unsigned char random[TOKEN_BYTES];
    char token[TOKEN_SIZE], hash[SHA256_HEX_SIZE];
    crypto_random(random, sizeof(random));
    base64url_encode(random, sizeof(random), token);
    crypto_sha256_hex(token, strlen(token), hash);
    if (db_run(&job->scope, sql_ticket_issue, (const char *const[]){ticket, hash}, &rows, err) < 0)
        return -1;
    if (db_rows(rows) != 1 || !db_bool(rows, 0, 0))
        return 1;
    const char *link = arena_printf(job->scope.arena, "%s/%s#%s", config->public_url, page, token);
    json_object_set_new(values, "link", json_string(link));
    return 0;
}

static int fill(struct job *job, const json_t *payload, const struct template *template, struct mail *m, struct error *err)
{
    json_t *values = json_object_get(payload, "values");
    const char *ticket = json_string_value(json_object_get(payload, "ticket"));
    if (!json_is_object(values))
        return broken(job, err, "values");
    if (!ticket != !template->page)
        return broken(job, err, "ticket");
    json_object_set_new(values, "origin", json_string(m->config->public_url));
    int rc = ticket ? issue(job, ticket, template->page, values, err) : 0;
    if (rc == 0 && template_fill(job->scope.arena, template, values, &m->words, err) < 0) {
        job->hopeless = true;
        return -1;
    }
    return rc;
}

static int write_head(struct job *job, bool has_link, struct mail *m, struct error *err)
{
    struct arena *arena = job->scope.arena;
    const char *id = has_link ? arena_printf(arena, "%s.%d", job->id, job->attempt) : job->id;
    int n = 0;
    m->headers[n++] = message_date_header(arena, clock_wall_ms());
    m->headers[n++] = message_mailbox_header(arena, "From", &m->from);
    m->headers[n++] = message_mailbox_header(arena, "To", &m->to);
    m->headers[n++] = message_header(arena, "Subject", m->words.subject);
    m->headers[n++] = arena_printf(arena, "Message-ID: <%s@%s>", id, mailbox_domain(&m->from));
    m->headers[n++] = "Auto-Submitted: auto-generated";
    m->headers[n++] = "Content-Type: multipart/alternative";
    for (int i = 0; i < n; i++)
        if (!m->headers[i])
            return broken(job, err, "subject");
    return 0;
}

/* 1: nothing to send. */
static int compose(struct job *job, struct mail *m, struct error *err)
{
    json_t *payload;
    if (json_parse(job->scope.arena, job->payload, &payload, err) < 0)
        return broken(job, err, "form");
    const char *name = json_string_value(json_object_get(payload, "template"));
    const char *to = json_string_value(json_object_get(payload, "to"));
    const struct template *template = name ? template_named(name) : NULL;
    if (!template)
        return broken(job, err, "template");
    if (!to || !mailbox_address_good(to))
        return broken(job, err, "address");
    m->to = (struct mailbox){"", to};
    if (mailbox_parse(job->scope.arena, m->config->mail_from, &m->from, err) < 0)
        return -1;
    int rc = fill(job, payload, template, m, err);
    return rc == 0 ? write_head(job, template->page != NULL, m, err) : rc;
}

/* --- The job ------------------------------------------------------------------------------------------------------- */

/* An answer that says: never, to this recipient or this message. What is said of us (no access, no login) may be mended. */
static bool refused_for_good(const struct mail *m)
{
    if (m->answer < 500 || m->answer > 599)
        return false;
    return m->sent_body || (m->code == CURLE_SEND_ERROR && m->answer >= 550 && m->answer <= 556 && m->answer != 554);
}

/* Never in the server's words: they hold the address as often as not. */
static int report(struct job *job, const struct mail *m, struct error *err)
{
    if (m->code == CURLE_OK)
        return 0;
    job->hopeless = refused_for_good(m);
    if (m->answer >= 400)
        return error_set(err, ERROR_UNAVAILABLE, job->hopeless ? "mail_refused" : "mail_not_taken", NULL,
                         "The mail server answered %ld: %s.", m->answer, curl_easy_strerror(m->code));
    return error_set(err, ERROR_UNAVAILABLE, "mail_server_away", NULL, "The mail server could not be reached, or went away: %s.",
                     curl_easy_strerror(m->code));
}

static int fiber_fn run(struct job *job, struct error *err)
{
    const struct config *config = outbound_config();
    if (!config->smtp_url[0])
        return error_set(err, ERROR_UNAVAILABLE, "mail_not_configured", NULL,
                         "The configuration names no mail server (smtp_url); mails wait.");
    struct mail *m = arena_alloc(job->scope.arena, sizeof(*m));
    m->config = config;
    m->encrypted = outbound_smtp_encrypted(config);
    int rc = compose(job, m, err);
    if (rc != 0)
        return rc < 0 ? -1 : 0;
    m->url = arena_printf(job->scope.arena, "%s/%s", config->smtp_url, mailbox_domain(&m->from));
    return outbound_run(transfer, m, err) < 0 ? -1 : report(job, m, err);
}

const struct job_kind outbound_mail_job = {
    .kind = "mail", .run = run, .max_attempts = ATTEMPTS, .retry_max_seconds = RETRY_MAX};
