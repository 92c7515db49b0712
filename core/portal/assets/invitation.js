// An invitation, a link to join by, and the mail that follows it: what the link stands for decides what is asked.
import { api, byId, linkExpired, linkToken, onSubmit, Problem, show, showProblem } from './portal.js';

const list = new Intl.ListFormat('en');
let preview;

function ask() {
    const { tenant, roles, email, name, needs, known } = preview;
    const may = `${tenant.name} invites you to join as ${list.format(roles)}.`;
    byId('what').textContent = known ? `${may} You keep your account, and change between the two when you are signed in.` : may;
    byId('address-form').hidden = !needs.includes('email');
    byId('accept-form').hidden = needs.includes('email');
    byId('name-part').hidden = !needs.includes('name');
    byId('password-part').hidden = !needs.includes('password');
    byId('name').value = name ?? '';
    byId('username').value = email ?? '';
    show('ask');
}

async function look() {
    if (!linkToken)
        return show('expired');
    preview = await api('POST', '/v1/invitations/preview', { token: linkToken });
    return ask();
}

onSubmit(byId('address-form'), async ({ email }) => {
    await api('POST', '/v1/invitations/join', { token: linkToken, email });
    show('sent');
}, linkExpired);

onSubmit(byId('accept-form'), async (values) => {
    const { tenant, email } = await api('POST', '/v1/invitations/acceptance', { token: linkToken, ...values });
    byId('done-text').textContent = `You belong to ${tenant.name}, as ${email}.`;
    byId('done-link').href = `/sign-in?tenant=${encodeURIComponent(tenant.slug)}`;
    show('done');
}, linkExpired);

look().catch((thrown) => {
    if (!(thrown instanceof Problem))
        throw thrown;
    if (!linkExpired(thrown))
        showProblem(thrown);
});
