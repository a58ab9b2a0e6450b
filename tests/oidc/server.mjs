// A real OAuth 2 server for tests, with an API that its access tokens open.
//
// Access tokens live for 20 seconds. Refresh tokens rotate: one that has been used works for GRACE_S
// more, as large providers have it, and after that its use ends the whole grant.
//
//   POST /token                      oidc-provider's token endpoint
//   GET  /api/items                  the API: two items for whoever has a valid access token
//   POST /control/issue?client=ID    a new grant and its refresh token, as a consent screen would make
//   POST /control/revoke?client=ID&model=AccessToken|ClientCredentials|RefreshToken
//   GET  /control/state              by client: tokens given and refused, API calls let in and turned
//                                    away, access tokens that live
//
// Access tokens of `slow-0` to `slow-9` live for 120 seconds but for the first: what many do at once
// with a second one may take a slow machine longer than the 20.
//
// Clients: `client-0` to `client-63` with the secret `SECRET-client-N` (Basic), `client-body` with
// `SECRET-client-body` (in the form), `client-public` without any.

import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

const ACCESS_S = 20;
const GRACE_S = 60;

const now = () => Math.floor(Date.now() / 1000);
const stored = new Map();

class Memory {
  constructor(model) {
    this.model = model;
  }

  key(id) {
    return `${this.model}:${id}`;
  }

  async upsert(id, payload) {
    stored.set(this.key(id), { ...payload });
  }

  async find(id) {
    const payload = stored.get(this.key(id));
    if (!payload?.consumed || now() - payload.consumed >= GRACE_S) return payload;
    const { consumed, ...still } = payload;
    return still;
  }

  async findByUid() {
    return undefined;
  }

  async findByUserCode() {
    return undefined;
  }

  async consume(id) {
    stored.get(this.key(id)).consumed ??= now();
  }

  async destroy(id) {
    stored.delete(this.key(id));
  }

  async revokeByGrantId(grantId) {
    for (const [key, payload] of stored) {
      if (payload.grantId === grantId) stored.delete(key);
    }
  }
}

const base = { redirect_uris: ['https://app.example/back'], response_types: ['code'] };
const grant_types = ['authorization_code', 'refresh_token', 'client_credentials'];
const client = (client_id, token_endpoint_auth_method, secret = true) => ({
  ...base,
  client_id,
  grant_types: secret ? grant_types : grant_types.slice(0, 2),
  token_endpoint_auth_method,
  ...(secret ? { client_secret: `SECRET-${client_id}` } : {}),
});
const clients = Array.from({ length: 64 }, (_, n) => client(`client-${n}`, 'client_secret_basic'));
for (let n = 0; n < 10; n += 1) clients.push(client(`slow-${n}`, 'client_secret_basic'));
clients.push(client('client-body', 'client_secret_post'), client('client-public', 'none', false));

const figures = {};
const count = (id, what) => {
  figures[id] ??= { given: 0, refused: 0, let_in: 0, turned_away: 0 };
  figures[id][what] += 1;
};

const lifetime = (_, __, { clientId }) => (clientId.startsWith('slow-') && figures[clientId] ? 120 : ACCESS_S);

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const origin = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(origin, {
    adapter: Memory,
    clients,
    scopes: ['offline_access', 'api'],
    findAccount: async (_, accountId) => ({ accountId, claims: async () => ({ sub: accountId }) }),
    features: { clientCredentials: { enabled: true }, devInteractions: { enabled: false } },
    rotateRefreshToken: true,
    ttl: { AccessToken: lifetime, ClientCredentials: ACCESS_S, RefreshToken: 86400, Grant: 86400 },
  });
  const of = (ctx) => ctx.oidc.client?.clientId ?? 'unknown';
  provider.on('grant.success', (ctx) => count(of(ctx), 'given'));
  provider.on('grant.error', (ctx) => count(of(ctx), 'refused'));
  const answerOf = provider.callback();

  const issue = async (clientId) => {
    const accountId = `account of ${clientId}`;
    const grant = new provider.Grant({ accountId, clientId });
    grant.addOIDCScope('offline_access api');
    const grantId = await grant.save();
    const token = new provider.RefreshToken({
      accountId,
      client: await provider.Client.find(clientId),
      grantId,
      gty: 'authorization_code',
      scope: 'offline_access api',
    });
    return { refresh_token: await token.save() };
  };
  const revoke = (clientId, model) => {
    for (const [key, payload] of stored) {
      if (key.startsWith(`${model}:`) && payload.clientId === clientId) stored.delete(key);
    }
    return {};
  };
  const state = () => {
    const all = structuredClone(figures);
    for (const id in all) all[id].live = 0;
    for (const [key, { clientId, exp }] of stored) {
      if (/^(AccessToken|ClientCredentials):/.test(key) && exp > now() && all[clientId]) all[clientId].live += 1;
    }
    return all;
  };
  const items = async (request) => {
    const value = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '';
    const found = (await provider.AccessToken.find(value)) ?? (await provider.ClientCredentials.find(value));
    if (!found?.isValid) {
      const known = stored.get(`AccessToken:${value}`)?.clientId ?? 'unknown';
      count(known, 'turned_away');
      return null;
    }
    count(found.clientId, 'let_in');
    return [{ id: 'a', name: 'Ada' }, { id: 'b', name: 'Bo' }];
  };

  server.on('request', async (request, response) => {
    const url = new URL(request.url, origin);
    const reply = (status, value) => {
      const body = JSON.stringify(value);
      // The tests' client knows bodies with a length only.
      response.writeHead(status, { 'content-type': 'application/json', 'content-length': body.length });
      response.end(body);
    };
    const id = url.searchParams.get('client');
    if (url.pathname === '/api/items') {
      const found = await items(request);
      return found ? reply(200, found) : reply(401, { error: 'invalid_token' });
    }
    if (url.pathname === '/control/issue') return reply(200, await issue(id));
    if (url.pathname === '/control/revoke') return reply(200, revoke(id, url.searchParams.get('model')));
    if (url.pathname === '/control/state') return reply(200, state());
    return answerOf(request, response);
  });
  console.log(`Serving on ${origin}`);
});
