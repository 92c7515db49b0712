// The deliveries of signatures.mjs as JSON, for who has no JavaScript. Arguments: an API version and two secrets.
import {cases} from './signatures.mjs';

const [version, ...secrets] = process.argv.slice(2);
const made = cases(secrets, i => JSON.stringify({id: `evt_peer${i}`, object: 'event', api_version: version, created: 1700000000 + i,
    livemode: false, type: 'customer.subscription.updated', data: {object: {id: `sub_${i}`, object: 'subscription', name: `é€😀 ${i}`}}}, null, 2));
process.stdout.write(JSON.stringify(made));
