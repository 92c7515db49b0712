import { api, byId, element, goOn, onSubmit, Problem, say, showProblem } from './portal.js';
import { createCredential } from './security_key.js';

const when = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short' });
const day = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium' });
const words = new Intl.ListFormat('en');
let session;

// --- Lists ------------------------------------------------------------------------------------------------------------

async function everyPage(path) {
    const items = [];
    for (let after = ''; after !== null;) {
        const page = await api('GET', after ? `${path}?after=${after}` : path);
        items.push(...page.items);
        after = page.next ?? null;
    }
    return items;
}

// A button that asks first when `sure` says what it does, and names its row for who does not see it.
function action(label, row, act, sure) {
    const button = element('button', { type: 'button', className: 'secondary' }, label);
    button.setAttribute('aria-label', `${label}: ${row}`);
    button.addEventListener('click', async () => {
        if (sure && !confirm(sure))
            return;
        try {
            await act();
        } catch (thrown) {
            tell(thrown);
        }
    });
    return button;
}

function line(name, about, ...buttons) {
    return element('li', {}, element('div', {}, element('strong', {}, name), element('span', { className: 'about' }, about)), ...buttons);
}

function fill(id, lines, none) {
    byId(id).replaceChildren(...(lines.length ? lines : [element('li', {}, none)]));
}

// After a row is gone its button is too: the focus goes to the part's heading.
async function afterwards(refresh, heading, told) {
    await refresh();
    byId(heading).focus();
    say(told);
}

// --- Parts ------------------------------------------------------------------------------------------------------------

async function memberships() {
    const { items } = await api('GET', '/v1/me/memberships');
    fill('membership-list', items.filter((one) => one.active).map(({ tenant, roles, current }) => {
        const about = `${words.format(roles)}; short name ${tenant.slug}${current ? '; you are here now' : ''}`;
        const go = async () => goOn(await api('POST', '/v1/session/tenant', { tenant: tenant.slug }));
        return line(tenant.name, about, ...(current ? [] : [action('Change to it', tenant.name, go)]));
    }), 'You belong to none.');
    byId('personal-form').hidden = session.methods.includes('single_sign_on')
        || items.some(({ tenant, active }) => active && tenant.kind === 'individual');
}

async function factors() {
    const { totp, passkeys, recovery_codes_left: left, required } = await api('GET', '/v1/me/second-factors');
    const full = session.stage === 'full';
    const lines = passkeys.map(({ id, name, created_at: made }) => line(name, `security key or passkey, added ${day.format(new Date(made))}`,
        ...(full ? [action('Remove', name, async () => {
            await api('DELETE', `/v1/me/passkeys/${id}`);
            await afterwards(factors, 'factors-heading', 'The key is removed.');
        }, `Remove ${name}?`)] : [])));
    if (totp)
        lines.push(line('Authenticator app', `added ${day.format(new Date(totp.created_at))}`,
            ...(full ? [action('Remove', 'authenticator app', async () => {
                await api('DELETE', '/v1/me/totp');
                await afterwards(factors, 'factors-heading', 'The authenticator app is removed.');
            }, 'Remove the authenticator app?')] : [])));
    fill('factor-list', lines, 'You have none.');
    byId('factors-text').textContent = lines.length ? `${left} recovery ${left === 1 ? 'code is' : 'codes are'} left.`
        : required ? 'One of your organisations asks for one.' : 'With one, a password alone does not open your account.';
    byId('app-form').hidden = Boolean(totp);
    byId('codes-form').hidden = !full || !lines.length;
    byId('app-new').hidden = true;
}

async function sessions() {
    const items = await everyPage('/v1/sessions');
    byId('sessions-form').hidden = items.length < 2;
    fill('session-list', items.map(({ id, client, tenant, created_at: began, last_seen_at: seen, current }) => {
        const about = `at ${tenant.name}, since ${when.format(new Date(began))}, last seen ${when.format(new Date(seen))}`;
        const end = async () => {
            await api('DELETE', `/v1/sessions/${id}`);
            await afterwards(sessions, 'sessions-heading', 'The session is ended.');
        };
        const name = client || 'Unnamed client';
        return line(current ? `${name} (this one)` : name, about, ...(current ? [] : [action('End', `${name} ${about}`, end)]));
    }), 'There is none.');
}

async function tokens() {
    const items = await everyPage('/v1/me/tokens');
    fill('token-list', items.map(({ id, name, scopes, expires_at: until, last_used_at: used }) => {
        const about = `${words.format(scopes)}; until ${day.format(new Date(until))}; ${used ? `last used ${when.format(new Date(used))}` : 'never used'}`;
        return line(name, about, action('Revoke', name, async () => {
            await api('DELETE', `/v1/me/tokens/${id}`);
            await afterwards(tokens, 'tokens-heading', 'The token is revoked.');
        }, `Revoke ${name}? Programs that use it stop working.`));
    }), 'You have none.');
}

// --- Recovery codes ---------------------------------------------------------------------------------------------------

// Nothing else is shown until they are kept.
function keepCodes(codes, told) {
    byId('codes-list').replaceChildren(...codes.map((code) => element('li', {}, code)));
    byId('rooms').hidden = true;
    byId('codes').hidden = false;
    byId('codes-heading').focus();
    say(told);
}

byId('codes-copy').addEventListener('click', () => copy([...byId('codes-list').children].map((one) => one.textContent).join('\n')));
byId('codes-print').addEventListener('click', () => print());
byId('codes-kept').addEventListener('click', () => {
    byId('codes-list').replaceChildren();
    byId('codes').hidden = true;
    render('factors-heading').catch(tell);
});

async function copy(text) {
    try {
        await navigator.clipboard.writeText(text);
        say('Copied.');
    } catch {
        say('The browser does not let us copy: select the text and copy it.');
    }
}

// A factor was added: the first one comes with codes.
async function added(reply, told) {
    session = reply;
    if (reply.recovery_codes?.length)
        keepCodes(reply.recovery_codes, told);
    else {
        await render('factors-heading');
        say(told);
    }
}

// --- Forms ------------------------------------------------------------------------------------------------------------

onSubmit(byId('sign-out-form'), async () => {
    await api('DELETE', '/v1/session');
    location.assign('/sign-in');
});

onSubmit(byId('personal-form'), async () => {
    await api('PUT', '/v1/me/personal-tenant');
    await afterwards(memberships, 'memberships-heading', 'Your personal space is open.');
});

onSubmit(byId('sessions-form'), async () => {
    await api('DELETE', '/v1/sessions');
    await afterwards(sessions, 'sessions-heading', 'All other sessions are ended.');
});

onSubmit(byId('app-form'), async () => {
    const { secret, qr_svg: drawing } = await api('POST', '/v1/me/totp');
    byId('app-secret').textContent = secret;
    byId('app-qr').hidden = !drawing;
    if (drawing)
        byId('app-qr').replaceChildren(document.importNode(new DOMParser().parseFromString(drawing, 'image/svg+xml').documentElement, true));
    byId('app-form').hidden = true;
    byId('app-new').hidden = false;
    byId('app-new').querySelector('h3').focus();
}, signInAgain);

onSubmit(byId('app-code-form'), async ({ code }) => {
    const reply = await api('POST', '/v1/me/totp/confirmation', { code: code.replaceAll(' ', '') });
    byId('app-code-form').reset();
    await added(reply, 'The authenticator app is added.');
}, signInAgain);

onSubmit(byId('key-form'), async ({ name }) => {
    const credential = await createCredential(await api('POST', '/v1/me/passkeys/options'));
    const reply = await api('POST', '/v1/me/passkeys', { name, credential });
    byId('key-form').reset();
    await added(reply, 'The key is added.');
}, signInAgain);

onSubmit(byId('codes-form'), async () => {
    const { recovery_codes: codes } = await api('POST', '/v1/me/recovery-codes');
    keepCodes(codes, 'New codes are made; the old ones are void.');
}, signInAgain);

onSubmit(byId('password-form'), async (values) => {
    session = await api('PUT', '/v1/me/password', values);
    byId('password-form').reset();
    await render('password-heading');
    say('Your password is changed, and your other sessions and your tokens are ended.');
});

onSubmit(byId('email-form'), async (values) => {
    await api('PUT', '/v1/me/email', values);
    byId('email-form').reset();
    byId('email-heading').focus();
    say('We have sent a mail to the new address. Follow the link in it.');
});

onSubmit(byId('token-form'), async ({ name, scopes, days }) => {
    const made = await api('POST', '/v1/me/tokens', { name, scopes: scopes.split(/[\s,]+/), days: Number(days) });
    byId('token-form').reset();
    await tokens();
    byId('token-text').textContent = made.token;
    byId('token-new').hidden = false;
    byId('token-new').querySelector('h3').focus();
});
byId('token-copy').addEventListener('click', () => copy(byId('token-text').textContent));

const EXPORT_LOOKS = 60;
const aSecond = () => new Promise((done) => setTimeout(done, 1000));

// Asking again is looking again: within the hour it is the same export.
onSubmit(byId('data-form'), async () => {
    say('Your data is being put together.');
    let made = await api('POST', '/v1/me/export');
    for (let looks = 1; made.state !== 'ready' && looks < EXPORT_LOOKS; looks++) {
        await aSecond();
        made = await api('POST', '/v1/me/export');
    }
    if (made.state !== 'ready') {
        say('It takes longer than usual. Come back in a while, and push the button again.');
        return;
    }
    byId('data-link').href = `/v1/me/exports/${made.id}`;
    byId('data-ready').hidden = false;
    byId('data-link').focus();
    say('Your data is ready.');
});

// --- The page ---------------------------------------------------------------------------------------------------------

// What touches how one signs in takes a young session.
function signInAgain(problem) {
    if (problem.code === 'sign_in_again')
        problem.message += ' Sign out here, and sign in.';
    return false;
}

function tell(thrown) {
    if (!(thrown instanceof Problem))
        throw thrown;
    if (thrown.status === 401)
        location.replace('/sign-in');
    else {
        signInAgain(thrown);
        showProblem(thrown);
    }
}

async function render(focus) {
    const { stage, person, tenant, roles } = session;
    for (const room of byId('rooms').children)
        room.hidden = !room.dataset.stages.split(' ').includes(stage);
    byId('who-text').textContent = `${person.name} (${person.email}), at ${tenant.name} as ${words.format(roles)}.`;
    byId('password-username').value = person.email;
    byId('factors-owed').hidden = stage !== 'enrolment';
    byId('password-owed').hidden = stage !== 'password';
    if (stage === 'full')
        await Promise.all([memberships(), factors(), sessions(), tokens()]);
    else if (stage === 'enrolment')
        await factors();
    byId('loading').hidden = true;
    byId('rooms').hidden = false;
    if (focus)
        byId(byId(focus).parentElement.hidden ? 'who-heading' : focus).focus();
}

async function begin() {
    session = await api('GET', '/v1/session');
    if (session.stage === 'second_factor')
        goOn(session);
    else
        await render();
}

begin().catch(tell);
