// What the pages share: the link's token, calls of the API, forms, and how a problem is told.

// First of all: the token of a mailed link leaves the address bar and the history.
const TOKEN = /^#([A-Za-z0-9_-]{20,})$/;
export const linkToken = TOKEN.exec(location.hash)?.[1] ?? null;
if (linkToken)
    history.replaceState(null, '', location.pathname + location.search);
window.addEventListener('hashchange', () => TOKEN.test(location.hash) && location.reload()); // another link, in the same tab

export const byId = (id) => document.getElementById(id);

export function element(name, properties = {}, ...children) {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
}

// --- The API --------------------------------------------------------------------------------------------------------

// A refusal as the API words it (RFC 9457); code "unreachable": no answer at all. field: "password", or "".
export class Problem extends Error {
    constructor({ status = 0, code = 'unreachable', detail, field = '' }) {
        super(detail);
        Object.assign(this, { status, code, field: field.split('/')[1] ?? field });
    }
}

async function problemOf(reply) {
    const told = await reply.json().catch(() => ({ detail: 'Something went wrong on our side. Try again later.' }));
    const seconds = Number(reply.headers.get('Retry-After'));
    const wait = seconds > 0 ? ` Try again in ${seconds < 120 ? `${seconds} seconds` : `${Math.ceil(seconds / 60)} minutes`}.` : '';
    return new Problem({ ...told, status: reply.status, detail: told.detail + wait });
}

export async function api(method, path, body) {
    const headers = { 'X-Overread': 'portal', ...(body && { 'Content-Type': 'application/json' }) };
    let reply;
    try {
        reply = await fetch(path, { method, headers, body: body && JSON.stringify(body), cache: 'no-store' });
    } catch {
        throw new Problem({ detail: 'Overread could not be reached. Check your connection, and try again.' });
    }
    if (!reply.ok)
        throw await problemOf(reply);
    return reply.status === 204 ? null : reply.json();
}

// --- What is told -----------------------------------------------------------------------------------------------------

const title = document.title;

export function clearProblem() {
    byId('problem').hidden = true;
    byId('status').textContent = '';
    document.title = title;
    document.querySelectorAll('.field-error').forEach((told) => told.remove());
    for (const field of document.querySelectorAll('[aria-invalid]')) {
        field.removeAttribute('aria-invalid');
        const before = field.dataset.describedby;
        before ? field.setAttribute('aria-describedby', before) : field.removeAttribute('aria-describedby');
    }
}

const labelOf = (field) => field.labels?.[0]?.textContent ?? field.name;

function markField(field, words) {
    const told = element('p', { id: `${field.id}-error`, className: 'field-error' }, words);
    field.dataset.describedby = field.getAttribute('aria-describedby') ?? '';
    field.setAttribute('aria-invalid', 'true');
    field.setAttribute('aria-describedby', `${field.dataset.describedby} ${told.id}`.trim());
    field.before(told);
}

// The summary takes the focus; its link leads to the field.
export function showProblem(problem, form) {
    const field = problem.field && form?.elements.namedItem(problem.field);
    const summary = byId('problem');
    let told = problem.message;
    if (field?.labels?.length && !field.readOnly) {
        markField(field, problem.message);
        told = element('a', { href: `#${field.id}` }, `${labelOf(field)}: ${problem.message}`);
        told.addEventListener('click', (event) => {
            event.preventDefault();
            field.focus();
        });
    }
    summary.replaceChildren(element('h2', {}, 'There is a problem'), element('p', {}, told));
    summary.hidden = false;
    document.title = `Problem: ${title}`;
    summary.focus();
}

export function say(words) {
    byId('status').textContent = words;
}

// Shows one part in place of its siblings, and tells so by taking the focus to its heading.
export function show(id) {
    const part = byId(id);
    for (const other of part.parentElement.querySelectorAll(':scope > section'))
        other.hidden = other !== part;
    part.querySelector('h2')?.focus();
}

// --- Forms ------------------------------------------------------------------------------------------------------------

const isShown = (field) => field.closest('[hidden]') === null;

function firstEmpty(form) {
    return [...form.elements].find((field) => field.required && isShown(field) && !field.value.trim());
}

// What stands in the fields that are shown; an optional one that is empty is left out.
function valuesOf(form) {
    const fields = [...form.elements].filter((field) => field.name && !field.readOnly && isShown(field) && (field.required || field.value));
    return Object.fromEntries(fields.map((field) => [field.name, field.type === 'password' ? field.value : field.value.trim()]));
}

// act(values) when the form is sent, once at a time; what it throws is told. otherwise(problem, form): true when it has told
// it in its own way.
export function onSubmit(form, act, otherwise = () => false) {
    let busy = false;
    form.addEventListener('submit', async (event) => {
        event.preventDefault();
        if (busy)
            return;
        clearProblem();
        const empty = firstEmpty(form);
        if (empty) {
            showProblem(new Problem({ field: empty.name, detail: 'Fill this in.' }), form);
            return;
        }
        const button = form.querySelector('button[type="submit"]');
        busy = true;
        button.setAttribute('aria-disabled', 'true');
        try {
            await act(valuesOf(form));
        } catch (thrown) {
            if (!(thrown instanceof Problem))
                throw thrown;
            if (!otherwise(thrown, form))
                showProblem(thrown, form);
        } finally {
            busy = false;
            button.removeAttribute('aria-disabled');
        }
    });
}

// For forms behind a mailed link: one that is no longer good has its own part of the page.
export function linkExpired(problem) {
    if (problem.code === 'link_expired')
        show('expired');
    return problem.code === 'link_expired';
}

// Where a session goes on, by the step that it owes.
export function goOn(session) {
    if (session.stage !== 'second_factor')
        location.assign('/account');
    else if (location.pathname !== '/sign-in')
        location.assign('/sign-in?step=second');
    return session.stage === 'second_factor';
}
