// Deliveries that are to be taken or refused, signed by Stripe's own client. Whoever verifies signatures has to come to the same:
// the client itself, the stand-in, the product's webhook endpoint.
import Stripe from 'stripe';

const {webhooks} = new Stripe('sk_test_none');
const TOLERANCE = 300;

// [{name, payload, header, good}] for an endpoint that knows these secrets; `now` in seconds. make(i) gives the payload.
export function cases(secrets, make, now = Math.floor(Date.now() / 1000)) {
    const [secret, other] = secrets;
    const signed = (payload, options = {}) => webhooks.generateTestHeaderString({payload, secret, timestamp: now, ...options});
    const v1 = header => header.split(',v1=')[1];
    const list = [];
    const add = (name, good, header, change = payload => payload) => {
        const payload = make(list.length);
        list.push({name, good, payload: change(payload), header: header(payload)});
    };
    add('signed with the first secret', true, payload => signed(payload));
    add('signed with the second', true, payload => signed(payload, {secret: other}));
    add('signed with both', true, payload => `${signed(payload)},v1=${v1(signed(payload, {secret: other}))}`);
    add('a good one behind one of a secret nobody knows', true,
        payload => `${signed(payload, {secret: 'whsec_of_nobody'})},v1=${v1(signed(payload))}`);
    add('a v0 beside', true, payload => `${signed(payload)},v0=${'0'.repeat(64)}`);
    // Not the last second: time goes on until it is looked at.
    add('nearly too old', true, payload => signed(payload, {timestamp: now - TOLERANCE + 30}));
    add('too old', false, payload => signed(payload, {timestamp: now - TOLERANCE - 1}));
    add('of a secret nobody knows', false, payload => signed(payload, {secret: 'whsec_of_nobody'}));
    add('a v0 only', false, payload => signed(payload, {scheme: 'v0'}));
    add('a byte changed', false, payload => signed(payload), payload => payload.replace(/.$/s, ' }'));
    add('written anew', false, payload => signed(payload), payload => JSON.stringify(JSON.parse(payload)));
    add('another time than was signed', false, payload => signed(payload).replace(`t=${now}`, `t=${now - 1}`));
    add('no time', false, payload => `v1=${v1(signed(payload))}`);
    add('no signature', false, () => `t=${now}`);
    add('cut off', false, payload => signed(payload).slice(0, -1));
    add('nothing', false, () => '');
    return list;
}
