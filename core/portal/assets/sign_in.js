import { api, byId, goOn, onSubmit, Problem, show } from './portal.js';
import { getCredential } from './security_key.js';

const HERE = { client: 'Browser', cookie: true };

function start(slug) {
    location.assign(`/v1/sso/${encodeURIComponent(slug)}/start`);
}

function secondStep(session) {
    byId('code-form').hidden = !session.second_factors.includes('totp');
    byId('key-form').hidden = !session.second_factors.includes('security_key');
    show('second');
}

function moveOn(session) {
    if (goOn(session))
        secondStep(session);
}

// Who belongs to several tenants says which; who signs in elsewhere is led there.
function tenantMatters(problem) {
    const tenant = byId('tenant').value.trim();
    if (problem.code === 'tenant_required')
        byId('tenant-part').hidden = !(byId('tenant').required = true);
    if (problem.code !== 'single_sign_on_required')
        return;
    byId('single-sign-on').open = true;
    byId('organisation').value ||= tenant;
    problem.message += ' Use “Sign in through my organisation” below.';
    problem.field = '';
}

async function signIn(act) {
    try {
        moveOn(await act());
    } catch (thrown) {
        if (thrown instanceof Problem)
            tenantMatters(thrown);
        throw thrown;
    }
}

onSubmit(byId('password-form'), (values) => signIn(() => api('POST', '/v1/sessions', { ...values, ...HERE })));

onSubmit(byId('passkey-form'), () => signIn(async () => {
    const credential = await getCredential(await api('POST', '/v1/sessions/passkey/options'));
    const tenant = byId('tenant').value.trim();
    return api('POST', '/v1/sessions/passkey', { credential, ...(tenant && { tenant }), ...HERE });
}));

onSubmit(byId('single-sign-on-form'), ({ organisation }) => start(organisation));

onSubmit(byId('code-form'), async ({ code }) => moveOn(await api('POST', '/v1/session/totp', { code: code.replaceAll(' ', '') })));
onSubmit(byId('recovery-form'), async ({ code }) => moveOn(await api('POST', '/v1/session/recovery-code', { code })));
onSubmit(byId('key-form'), async () => {
    const credential = await getCredential(await api('POST', '/v1/session/security-key/options'));
    moveOn(await api('POST', '/v1/session/security-key', { credential }));
});
onSubmit(byId('again-form'), async () => {
    await api('DELETE', '/v1/session');
    location.assign('/sign-in');
});

const asked = new URLSearchParams(location.search);
if (asked.has('tenant')) {
    byId('tenant').value = byId('organisation').value = asked.get('tenant');
    byId('tenant-part').hidden = false;
}
if (asked.get('step') === 'second')
    api('GET', '/v1/session').then((session) => session.stage === 'second_factor' && secondStep(session), () => {});
