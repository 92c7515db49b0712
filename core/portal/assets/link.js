// The short pages: signing up, and what mailed links lead to.
import { api, byId, linkExpired, linkToken, onSubmit, show } from './portal.js';

function verified({ kind, password_set: hasPassword }) {
    byId('done-account').hidden = kind !== 'account' || !hasPassword;
    byId('done-no-password').hidden = kind !== 'account' || hasPassword;
    byId('done-email').hidden = kind !== 'email';
}

// What each page's form sends; `link`: the page is good for nothing without the token of one.
const PAGES = {
    '/sign-up': { form: 'sign-up-form', path: '/v1/accounts' },
    '/forgot': { form: 'forgot-form', path: '/v1/password-resets' },
    '/verify': { form: 'verify-form', path: '/v1/accounts/verification', link: true, done: verified },
    '/reset': { form: 'reset-form', path: '/v1/password-resets/completion', link: true },
};

const page = PAGES[location.pathname];
onSubmit(byId(page.form), async (values) => {
    const filled = Object.fromEntries(Object.entries(values).filter(([name]) => values[name] !== '' || byId(name)?.required));
    const reply = await api('POST', page.path, { ...filled, ...(page.link && { token: linkToken }) });
    page.done?.(reply);
    show('done');
}, linkExpired);
if (page.link && !linkToken)
    show('expired');
