// WebAuthn: the API's options to what the browser takes, and what the browser makes to what the API takes.
import { Problem } from './portal.js';

function bytes(text) {
    const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
    return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

function text(buffer) {
    const binary = String.fromCharCode(...new Uint8Array(buffer));
    return btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

const withBytes = (credentials) => credentials?.map((one) => ({ ...one, id: bytes(one.id) }));

async function asked(ceremony) {
    if (!navigator.credentials || !window.PublicKeyCredential)
        throw new Problem({ detail: 'This browser knows no security keys or passkeys.' });
    try {
        return await ceremony();
    } catch (thrown) {
        if (thrown.name === 'InvalidStateError')
            throw new Problem({ detail: 'This key is registered already.' });
        if (thrown instanceof DOMException)
            throw new Problem({ detail: 'No key was used: it was cancelled, took too long, or none of your keys fits here.' });
        throw thrown;
    }
}

function sent(credential, response) {
    const parts = Object.entries(response).filter(([, value]) => value);
    return {
        id: credential.id,
        rawId: text(credential.rawId),
        type: credential.type,
        clientExtensionResults: {},
        response: Object.fromEntries(parts.map(([name, value]) => [name, value instanceof ArrayBuffer ? text(value) : value])),
    };
}

export async function createCredential({ publicKey }) {
    const options = {
        ...publicKey,
        challenge: bytes(publicKey.challenge),
        user: { ...publicKey.user, id: bytes(publicKey.user.id) },
        excludeCredentials: withBytes(publicKey.excludeCredentials),
    };
    const credential = await asked(() => navigator.credentials.create({ publicKey: options }));
    const { clientDataJSON, attestationObject } = credential.response;
    const transports = credential.response.getTransports?.();
    return sent(credential, { clientDataJSON, attestationObject, transports });
}

export async function getCredential({ publicKey }) {
    const options = {
        ...publicKey,
        challenge: bytes(publicKey.challenge),
        allowCredentials: withBytes(publicKey.allowCredentials),
    };
    const credential = await asked(() => navigator.credentials.get({ publicKey: options }));
    const { clientDataJSON, authenticatorData, signature, userHandle } = credential.response;
    return sent(credential, { clientDataJSON, authenticatorData, signature, userHandle });
}
