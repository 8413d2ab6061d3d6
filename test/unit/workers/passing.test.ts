import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { Agent, createServer, IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { askKeeper } from '../../../src/workers/passing.ts';

const ASKS = 50;
const server = createServer((_request, response) => void response.end());
const agent = new Agent();
const client = Object.assign(new IncomingMessage(new Socket()), { method: 'GET', url: '/v2/' });

afterEach(() => {
  agent.destroy();
  server.close();
});

it.runIf(process.platform === 'linux')(
  'asks again where more connections wait for the keeper than may',
  async () => {
    const socketPath = `\0entrepot-${randomUUID()}`;
    await once(server.listen({ path: socketPath, backlog: 1 }), 'listening');
    const { signal } = new AbortController();
    const ask = { agent, keeper: { socketPath, secret: '' }, headers: {}, signal };
    const answers = await Promise.all(Array.from({ length: ASKS }, () => askKeeper(client, ask)));
    expect(answers.map(({ statusCode }) => statusCode)).toEqual(Array(ASKS).fill(200));
    for (const answer of answers) answer.resume();
  },
);
