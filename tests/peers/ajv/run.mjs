// Seeded random schemas and instances, and the shipped plugins' own schemas with mutated golden files: ajv and
// Overread's validator must judge every pair alike.
import {spawnSync} from 'node:child_process';
import {existsSync, readdirSync, readFileSync} from 'node:fs';
import Ajv2020 from 'ajv/dist/2020.js';

const PAIRS = 3000;
const seed = Number(process.env.OVERREAD_SEED ?? 20210);
const plugins = new URL('../../../plugins/', import.meta.url);

function random(a) { // mulberry32
    return () => {
        a = (a + 0x6d2b79f5) | 0;
        let t = Math.imul(a ^ (a >>> 15), 1 | a);
        t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
        return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
}
const next = random(seed);
const upTo = n => Math.floor(next() * n);
const pick = list => list[upTo(list.length)];
const maybe = p => next() < p;

// Few words and numbers, so that instances hit what schemas ask for. No empty name: ajv 8.17.1 takes the missing
// member "" for none missing.
const NAMES = ['a', 'b', 'zone', 'x/y', 'é', '~'];
const STRINGS = ['', 'a', 'ab', 'PZ', 'TZ', 'é€', '😀😀', '12', 'a\nb', '2024-01-01',
    ' ', '\u00a0', 'a\u2028b', '\u2029', '\u3000\u1680', '\ufeff', '\u0085', '\u180e', '\u200b', 'a\u2003', '\r\n',
    '-', '\v'];
const NUMBERS = [0, 1, -1, 2, 3, 5, 10, 0.1, 0.3, 0.5, 1.1, 1.5, 2.5, -2.5, 19.99, 1e10, 1e-7, 9007199254740991];
const PATTERNS = ['^a', 'b$', '^[A-Z]{2}$', '^\\d+$', '^.{2}$', '^\\p{L}+$', '[^a]', '^(?:PZ|TZ)$', '^\\S*$', '^(?!a)',
    '^\\s+$', '^[\\s]$', '^[\\S]$', '^[^\\s]+$', '^[^\\S]+$', '^[a\\s-]+$', '^[-\\S]{2}$', '^[^\\S\\n]+$', '^.$', '^a.b$',
    '^[.]$', '\\.', '^[a-b-z]+$', '\\s.'];
const TYPES = ['null', 'boolean', 'integer', 'number', 'string', 'array', 'object'];

function value(depth = 3) {
    const kind = upTo(depth > 0 ? 8 : 5);
    if (kind === 0) return null;
    if (kind === 1) return maybe(0.5);
    if (kind <= 3) return pick(NUMBERS);
    if (kind === 4) return pick(STRINGS);
    if (kind === 5) return Array.from({length: upTo(4)}, () => value(depth - 1));
    return Object.fromEntries(Array.from({length: upTo(4)}, () => [pick(NAMES), value(depth - 1)]));
}

const names = () => NAMES.filter(() => maybe(0.3));
const map = (of, keys = NAMES) => Object.fromEntries(keys.filter(() => maybe(0.3)).map(key => [key, of()]));
const list = of => Array.from({length: 1 + upTo(3)}, of);

// What a schema may refer to only below a step into the instance, so that no reference turns in a circle.
function schema(depth, refs) {
    if (depth <= 0) return maybe(0.15) ? maybe(0.7) : {type: pick(TYPES)};
    const same = () => schema(depth - 1, false), deeper = () => schema(depth - 1, true);
    const keywords = {
        type: () => maybe(0.7) ? pick(TYPES) : [...new Set(list(() => pick(TYPES)))],
        enum: () => [...new Map(list(() => value(2)).map(v => [JSON.stringify(v), v])).values()],
        const: () => value(2),
        minimum: () => pick(NUMBERS), maximum: () => pick(NUMBERS),
        exclusiveMinimum: () => pick(NUMBERS), exclusiveMaximum: () => pick(NUMBERS),
        multipleOf: () => pick([0.1, 0.5, 1, 2, 2.5, 3]),
        minLength: () => upTo(3), maxLength: () => upTo(4), pattern: () => pick(PATTERNS),
        items: deeper, prefixItems: () => list(deeper), contains: deeper,
        minContains: () => upTo(3), maxContains: () => upTo(3), minItems: () => upTo(3), maxItems: () => upTo(4),
        uniqueItems: () => maybe(0.8),
        properties: () => map(deeper), patternProperties: () => map(deeper, ['^a', 'b', '^.$']),
        additionalProperties: deeper, propertyNames: same, required: names,
        minProperties: () => upTo(2), maxProperties: () => 1 + upTo(3),
        dependentRequired: () => map(names), dependentSchemas: () => map(same),
        allOf: () => list(same), anyOf: () => list(same), oneOf: () => list(same), not: same,
        if: same, then: same, else: same,
        title: () => 'a title', 'x-hint': () => 1,
    };
    const ret = {};
    for (let i = 1 + upTo(4); i > 0; i--) {
        const name = pick(Object.keys(keywords));
        ret[name] = keywords[name]();
    }
    if ('contains' in ret) delete ret.prefixItems; // beside it, ajv lets [] pass a contains
    if (refs && maybe(0.15)) return {...ret, $ref: pick(['#/$defs/one', '#/$defs/t~1wo', '#'])};
    return ret;
}

function root() {
    const ret = schema(3, false);
    return typeof ret === 'boolean' ? ret : {...ret, $defs: {one: schema(2, false), 't/wo': schema(2, false)}};
}

function mutate(json) {
    const copy = structuredClone(json), places = [];
    (function walk(at) {
        for (const key of Object.keys(at)) {
            places.push([at, key]);
            if (at[key] && typeof at[key] === 'object') walk(at[key]);
        }
    })(copy);
    if (places.length === 0) return copy;
    const [at, key] = pick(places);
    const how = upTo(4);
    if (how === 0 && !Array.isArray(at)) delete at[key];
    else if (how === 1 && !Array.isArray(at)) at[pick(NAMES)] = value(1);
    else if (how === 2 && typeof at[key] === 'number') at[key] *= pick([-1, 10, 0.5]);
    else at[key] = value(1);
    return copy;
}

function* shipped() {
    for (const id of readdirSync(plugins)) {
        const manifest = new URL(`${id}/manifest.json`, plugins), golden = new URL(`${id}/golden/`, plugins);
        if (!existsSync(manifest) || !existsSync(golden)) continue;
        const {schemas} = JSON.parse(readFileSync(manifest, 'utf8'));
        for (const name of readdirSync(golden)) {
            for (const part of ['config', 'truth', 'answer']) {
                const file = new URL(`${name}/${part}.json`, golden);
                if (!existsSync(file)) continue;
                const good = JSON.parse(readFileSync(file, 'utf8'));
                yield {schema: schemas[part], instance: good};
                for (let i = 0; i < 40; i++) yield {schema: schemas[part], instance: mutate(good)};
            }
        }
    }
}

const pairs = [...shipped()];
const own = pairs.length;
for (const pattern of PATTERNS) for (const instance of STRINGS) pairs.push({schema: {pattern}, instance});
while (pairs.length < own + PAIRS) {
    const drawn = root();
    for (let i = 0; i < 4; i++) pairs.push({schema: drawn, instance: value()});
}

const options = {strict: false, allowUnionTypes: true, multipleOfPrecision: 9, validateFormats: false, logger: false};
const compiled = new Map();
function ajv({schema, instance}) {
    const text = JSON.stringify(schema);
    if (!compiled.has(text)) {
        const {$id, ...anonymous} = schema; // two plugins may give two schemas one name
        compiled.set(text, new Ajv2020(options).compile(typeof schema === 'boolean' ? schema : anonymous));
    }
    try {
        return compiled.get(text)(instance) ? 'valid' : 'invalid';
    } catch { // its own bookkeeping of evaluated members trips over some recursive schemas
        return 'failed';
    }
}

const input = pairs.map(pair => JSON.stringify(pair)).join('\n') + '\n';
const child = spawnSync(process.argv[2], {input, encoding: 'utf8', maxBuffer: 1 << 28});
if (child.status !== 0) {
    console.error(`schema-check failed: ${child.error ?? child.stderr}`);
    process.exit(1);
}
const ours = child.stdout.trim().split('\n');
let different = ours.length === pairs.length ? 0 : 1, valid = 0, failed = 0;
pairs.forEach((pair, i) => {
    const theirs = ajv(pair);
    valid += theirs === 'valid';
    failed += theirs === 'failed';
    if (theirs === 'failed') return;
    if (ours[i] === theirs) return;
    if (++different <= 10) console.error(`ajv ${theirs}, overread ${ours[i]}: ${JSON.stringify(pair)}`);
});
console.log(`seed ${seed}: ${pairs.length} pairs (${own} of shipped schemas), ${valid} valid, ${different} different, ` +
            `ajv failed on ${failed}`);
process.exit(different === 0 && valid > pairs.length / 10 && failed < pairs.length / 100 ? 0 : 1);
