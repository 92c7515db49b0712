// oidc-provider as a real OpenID provider on loopback, for tests/api/test_sso.py. One argument: settings as JSON. Ends with
// its standard input, so that it never outlives a test.
import { Provider } from "oidc-provider";

const settings = JSON.parse(process.argv[2]);
const claims = (sub) => ({
  sub, name: "Kari Nordmann", email: `${sub}-${settings.port}@real.example`, email_verified: true, groups: ["teachers"],
});

const provider = new Provider(settings.issuer, {
  clients: [{
    client_id: settings.client_id,
    client_secret: settings.client_secret,
    redirect_uris: [settings.redirect_uri],
    grant_types: ["authorization_code"],
    response_types: ["code"],
    backchannel_logout_uri: settings.logout_uri,
    backchannel_logout_session_required: true,
  }],
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name", "groups"] },
  features: { backchannelLogout: { enabled: true }, devInteractions: { enabled: false } },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (_, sub) => ({ accountId: sub, claims: () => claims(sub) }),
  loadExistingGrant: async (ctx) => {
    const grant = new ctx.oidc.provider.Grant({
      clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId,
    });
    grant.addOIDCScope("openid email profile");
    await grant.save();
    return grant;
  },
  pkce: { required: () => true },
  ttl: { Session: 600, Grant: 600, Interaction: 600, IdToken: 600, AccessToken: 600 },
});

const body = async (req) => {
  let text = "";
  for await (const chunk of req) text += chunk;
  return new URLSearchParams(text);
};

// A sign-in page with one field, and no consent.
provider.use(async (ctx, next) => {
  const at = ctx.path.match(/^\/interaction\/[\w-]+(\/login)?$/);
  if (!at) return next();
  if (!at[1]) {
    ctx.type = "html";
    ctx.body = `<form method="post" action="${ctx.path}/login"><input name="login"></form>`;
    return undefined;
  }
  const accountId = (await body(ctx.req)).get("login");
  await provider.interactionFinished(ctx.req, ctx.res, { login: { accountId } }, { mergeWithLastSubmission: false });
  ctx.respond = false;
  return undefined;
});

provider.listen(settings.port, "127.0.0.1", () => console.log("ready"));
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
