// Stripe's own client, unchanged but for the address, gets on with the stand-in; both make and take the same signatures.
import assert from 'node:assert/strict';
import {execFileSync, spawn} from 'node:child_process';
import {once} from 'node:events';
import {createServer} from 'node:http';
import {createInterface} from 'node:readline';
import Stripe from 'stripe';
import {cases} from './signatures.mjs';

const PYTHON = '/usr/bin/python3';
const SECRETS = ['whsec_4fPLc0bQJYqzN7', 'whsec_of+the/rotation=='];
const FORTNIGHT = 14 * 86400;
let checks = 0;
const check = (name, body) => Promise.resolve(body()).then(() => { checks++; }, failure => {
    throw new Error(`${name}: ${failure.message}`, {cause: failure});
});

// --- What the stand-in delivers, taken by Stripe's client ---------------------------------------------------------------------

const taken = [], refused = [];
const receiver = createServer(async (request, reply) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    try {
        taken.push(Stripe.webhooks.constructEvent(Buffer.concat(chunks), request.headers['stripe-signature'], SECRETS[0]));
        reply.writeHead(200).end();
    } catch (failure) {
        refused.push(failure);
        reply.writeHead(400).end();
    }
}).listen(0, '127.0.0.1');
await once(receiver, 'listening');
const hook = `http://127.0.0.1:${receiver.address().port}/`;

const standin = spawn(PYTHON, ['-B', '../../stripe_standin', '--no-record', '--webhook', hook, ...SECRETS.flatMap(secret => ['--secret', secret])],
    {stdio: ['ignore', 'pipe', 'inherit']});
const [line] = await once(createInterface(standin.stdout), 'line');
const {url, key} = JSON.parse(line);
const control = async (path, form = {}) => (await fetch(`${url}/_control/${path}`, {method: 'POST', body: new URLSearchParams(form)})).json();
const state = async () => (await fetch(`${url}/_control/state`)).json();

try {
    await client(new Stripe(key, {host: '127.0.0.1', port: new URL(url).port, protocol: 'http', maxNetworkRetries: 2}));
    await deliveries();
    await check('the same headers', sameHeaders);
    await check('signatures', signatures);
    await check('nothing was sent that Stripe would not take', async () => assert.deepEqual((await state()).violations, []));
} finally {
    standin.kill();
    receiver.close();
}
console.log(`${checks} checks with stripe ${Stripe.PACKAGE_VERSION ?? ''}`.trim());

async function client(stripe) {
    const customer = await stripe.customers.create({email: 'a@trust.example', address: {country: 'GB'}, metadata: {tenant: 't-1'}});
    const product = await stripe.products.create({id: 'overread_all', name: 'All modalities'});
    const price = await stripe.prices.create({product: product.id, currency: 'gbp', unit_amount: 2500, recurring: {interval: 'month'},
        lookup_key: 'all_monthly'});
    let bought;
    await check('checkout', async () => {
        const session = await stripe.checkout.sessions.create({mode: 'subscription', customer: customer.id,
            line_items: [{price: price.id, quantity: 2}], success_url: 'https://overread.example/done',
            subscription_data: {trial_period_days: 14, metadata: {intent: 'i-1'}}});
        await control(`checkout/${session.id}/complete`, {card: 'ok'});
        const done = await stripe.checkout.sessions.retrieve(session.id, {expand: ['subscription', 'line_items']});
        bought = done.subscription;
        assert.deepEqual([done.status, bought.status, bought.metadata, done.line_items.data[0].quantity],
            ['complete', 'trialing', {intent: 'i-1'}, 2]);
    });
    await check('seats', async () => {
        await control('advance', {seconds: FORTNIGHT + 3600});
        const change = {items: [{id: bought.items.data[0].id, quantity: 5}], proration_behavior: 'always_invoice'};
        const preview = await stripe.invoices.createPreview({subscription: bought.id, subscription_details: change});
        const after = await stripe.subscriptions.update(bought.id, {...change, payment_behavior: 'pending_if_incomplete'});
        assert.equal(after.items.data[0].quantity, 5);
        const [invoice] = (await stripe.invoices.list({subscription: bought.id, limit: 1})).data;
        assert.equal(invoice.status, 'paid');
        // A second may have gone by between the two: a seat costs 25.00 a month, far less than a penny a second.
        assert.ok(Math.abs(invoice.total - preview.total) <= 1 && invoice.total > 7000, `${invoice.total}, ${preview.total}`);
    });
    await check('an invoice that is sent', async () => {
        const sent = await stripe.subscriptions.create({customer: customer.id, items: [{price: price.id, quantity: 50}],
            collection_method: 'send_invoice', days_until_due: 30});
        const named = await stripe.invoices.update(sent.latest_invoice, {custom_fields: [{name: 'Purchase order', value: 'PO-4711'}]});
        const open = await stripe.invoices.finalizeInvoice(named.id);
        assert.deepEqual([open.status, open.amount_due, open.custom_fields[0].value], ['open', 125000, 'PO-4711']);
        await stripe.invoices.pay(open.id, {paid_out_of_band: true});
        assert.equal((await stripe.subscriptions.cancel(sent.id)).status, 'canceled');
    });
    await check('pages', async () => {
        const made = [];
        for (let i = 0; i < 12; i++) made.unshift((await stripe.customers.create({email: `${i}@b.example`})).id);
        const seen = [];
        for await (const one of stripe.customers.list({limit: 5})) seen.push(one.id);
        assert.deepEqual(seen, [...made, customer.id]);
        const kinds = new Set();
        for await (const event of stripe.events.list({limit: 20, types: ['invoice.paid', 'customer.subscription.created']})) kinds.add(event.type);
        assert.deepEqual([...kinds].sort(), ['customer.subscription.created', 'invoice.paid']);
    });
    await check('retries', async () => {
        await control('faults', {method: 'POST', path: '/v1/customers$', kind: 'applied_cut'});
        const before = (await state()).counts.customer;
        await stripe.customers.create({email: 'once@b.example'});
        assert.equal((await state()).counts.customer, before + 1);
    });
    await check('errors', async () => {
        await assert.rejects(stripe.subscriptions.retrieve('sub_none'), {type: 'StripeInvalidRequestError', statusCode: 404,
            code: 'resource_missing'});
        await control(`customers/${customer.id}/next`, {outcome: 'declines'});
        await assert.rejects(stripe.subscriptions.create({customer: customer.id, items: [{price: price.id}],
            payment_behavior: 'error_if_incomplete', default_payment_method: bought.default_payment_method}),
        {type: 'StripeCardError', statusCode: 402, code: 'card_declined'});
        const options = {idempotencyKey: 'one-key'};
        await stripe.customers.create({email: 'c@b.example'}, options);
        await assert.rejects(stripe.customers.create({email: 'd@b.example'}, options), {type: 'StripeIdempotencyError'});
    });
}

async function deliveries() {
    const all = await (await fetch(`${url}/_control/events`)).json();
    await check('deliveries', async () => {
        const burst = await control('burst', {at_once: '4'});
        assert.deepEqual([burst.sent, burst.ok, refused.length], [all.length, all.length, 0]);
        assert.deepEqual(new Set(taken.map(event => event.id)), new Set(all.map(event => event.id)));
        assert.deepEqual(taken.find(event => event.id === all[0].id).data, all[0].data);
    });
    for (const spoilt of [{tamper: 'byte'}, {tamper: 'json'}, {age: '301'}]) {
        await check(`refused: ${JSON.stringify(spoilt)}`, async () => {
            assert.equal((await control('deliver', {event: all[0].id, ...spoilt})).status, 400);
            assert.match(refused.at(-1).message, /signature|tolerance/i);
        });
    }
}

// --- What Stripe's client signs, and what the stand-in signs, are the same ----------------------------------------------------

function payload(i) {
    return JSON.stringify({id: `evt_${i}`, object: 'event', type: 'customer.subscription.updated', data: {object: {name: `é€😀 ${i}`}}}, null, 2);
}

function sameHeaders() {
    const asked = Array.from({length: 200}, (_, i) => [payload(i), [SECRETS[i % 2]], 1700000000 + i * 997]);
    const theirs = JSON.parse(execFileSync(PYTHON, ['headers.py'], {input: JSON.stringify(asked)}));
    const ours = asked.map(([text, [secret], timestamp]) => Stripe.webhooks.generateTestHeaderString({payload: text, secret, timestamp}));
    assert.deepEqual(theirs, ours);
}

// The client itself comes to what each case says; the product's endpoint is to be asked the same.
function signatures() {
    for (const {name, payload: text, header, good} of cases(SECRETS, payload)) {
        const accepted = SECRETS.some(secret => {
            try {
                return Boolean(Stripe.webhooks.constructEvent(text, header, secret));
            } catch (failure) {
                assert.equal(failure.type, 'StripeSignatureVerificationError', `${name}: ${failure}`);
                return false;
            }
        });
        assert.equal(accepted, good, name);
    }
}
