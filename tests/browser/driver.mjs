// Debian's Chromium as a child of the tests: a line of JSON in, {"call": name, "args": [...]}, a line of JSON out,
// {"value": ...} or {"error": "..."}. What a person does is done by keys alone.
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { chromium } from 'playwright-core';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--host-resolver-rules=MAP localhost 127.0.0.1'];
const WAIT_MS = 30000;

let browser, context, page, session, origin, troubles = [];

// What a page may not do: errors on the console, refused resources, exceptions. A refusal by the API is no trouble.
function watch() {
    page.on('pageerror', (error) => troubles.push(`exception: ${error.stack}`));
    page.on('requestfailed', (request) => request.failure().errorText !== 'net::ERR_ABORTED' && troubles.push(`failed: ${request.url()}`));
    page.on('console', (message) => {
        const refused = message.text().startsWith('Failed to load resource') && message.location().url.includes('/v1/');
        if (['error', 'warning'].includes(message.type()) && !refused)
            troubles.push(`${message.type()}: ${message.text()}`);
    });
    page.on('dialog', (dialog) => dialog.accept());
}

// Evaluated in the page, and again in the next one when the page has gone meanwhile.
async function inPage(what) {
    for (const end = Date.now() + WAIT_MS; ;) {
        try {
            return await page.evaluate(what);
        } catch (error) {
            if (!error.message.includes('context was destroyed') || Date.now() > end)
                throw error;
            await page.waitForLoadState();
        }
    }
}

// When the document began, by which it is told from the one before it.
const born = () => inPage(() => performance.timeOrigin);

// The words by which a person, or their screen reader, knows what has the focus.
const focusedName = () => inPage(() => {
    const at = document.activeElement;
    const labels = [...(at?.labels ?? [])].map((label) => label.textContent);
    return at === document.body ? '' : (at.getAttribute('aria-label') ?? (labels.join(' ') || at.textContent || '')).replace(/\s+/g, ' ').trim();
});

const calls = {
    // A browser as new: no cookies, no keys. `from`: the address that it seems to come from.
    async begin(base, from) {
        await context?.close();
        origin = base;
        browser ??= await chromium.launch({ executablePath: process.env.CHROMIUM, args: FLAGS, ignoreDefaultArgs: ['--enable-automation'] });
        context = await browser.newContext({
            locale: 'en-GB',
            extraHTTPHeaders: { 'X-Forwarded-For': from }, permissions: ['clipboard-read', 'clipboard-write'], viewport: { width: 1024, height: 900 },
        });
        context.setDefaultTimeout(WAIT_MS);
        page = await context.newPage();
        session = await context.newCDPSession(page);
        troubles = [];
        watch();
    },
    // Where only the fragment is another the browser stays in the document; then the page loads itself anew (portal.js), and that
    // is waited for too.
    async open(address) {
        const before = await born(), end = Date.now() + WAIT_MS;
        await page.goto(new URL(address, origin).href, { waitUntil: 'networkidle' });
        while (await born() === before) {
            if (Date.now() > end)
                throw new Error(`${address} leaves the document as it was`);
            await page.waitForTimeout(20);
        }
        await page.waitForLoadState('networkidle');
    },
    async press(key, times = 1) {
        for (let i = 0; i < times; i++)
            await page.keyboard.press(key);
    },
    type: (text) => page.keyboard.type(text),
    focused: focusedName,
    // Tab until something of that name has the focus; what is still to come is gone round for.
    async tab_to(name) {
        const met = new Set();
        for (const end = Date.now() + WAIT_MS; Date.now() < end;) {
            await page.keyboard.press('Tab');
            const here = await focusedName();
            if (here.startsWith(name))
                return here;
            met.add(here);
        }
        throw new Error(`Tab never reaches "${name}"; it meets: ${[...met].join(' | ')}`);
    },
    // Polled from here: the page's CSP forbids what playwright would evaluate in it.
    async wait_for(text) {
        const end = Date.now() + WAIT_MS;
        const shown = () => page.innerText('body').catch(() => ''); // between two pages there is none
        while (!(await shown()).includes(text)) {
            if (Date.now() > end)
                throw new Error(`"${text}" is not on the page:\n${await shown()}`);
            await page.waitForTimeout(50);
        }
    },
    async wait_address(path) {
        await page.waitForURL(new RegExp(`^${origin}${path}$`));
    },
    text: () => page.innerText('body'),
    text_of: (selector) => page.innerText(selector),
    attribute: (selector, name) => page.getAttribute(selector, name),
    title: () => page.title(),
    address: () => page.url(),
    clipboard: () => inPage(() => navigator.clipboard.readText()),
    cookies: async () => (await context.cookies()).map(({ name, httpOnly, sameSite }) => ({ name, httpOnly, sameSite })),
    forget: () => context.clearCookies(),
    scheme: (colorScheme) => page.emulateMedia({ colorScheme }),
    size: (width, height) => page.setViewportSize({ width, height }),
    wider: () => inPage(() => document.documentElement.scrollWidth - document.documentElement.clientWidth),
    picture: (path) => page.screenshot({ path, fullPage: true }).then(() => {}),
    // What Enter on a link that has the focus downloads, as text.
    async download() {
        const [download] = await Promise.all([page.waitForEvent('download'), page.keyboard.press('Enter')]);
        return readFileSync(await download.path(), 'latin1');
    },
    troubles: () => troubles,
    // Evaluated past the page's CSP, as a tester's tool is.
    async axe() {
        await session.send('Runtime.evaluate', { expression: AXE });
        const { violations, passes } = await page.evaluate((values) => window.axe.run(document, { runOnly: { type: 'tag', values } }), TAGS);
        const told = violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => node.html).join(' ')}`);
        return { passes: passes.length, violations: told };
    },
    // A security key of software: `resident` and `verifies` make it one for passkeys.
    async key(options) {
        await session.send('WebAuthn.enable');
        const { authenticatorId } = await session.send('WebAuthn.addVirtualAuthenticator', {
            options: { protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true,
                automaticPresenceSimulation: true, ...options },
        });
        return authenticatorId;
    },
    async remove_key(authenticatorId) {
        await session.send('WebAuthn.removeVirtualAuthenticator', { authenticatorId });
    },
};

for await (const line of createInterface({ input: process.stdin })) {
    const { call, args } = JSON.parse(line);
    let reply;
    try {
        reply = { value: (await calls[call](...args)) ?? null };
    } catch (error) {
        reply = { error: error.message };
    }
    process.stdout.write(`${JSON.stringify(reply)}\n`);
}
await browser?.close();
