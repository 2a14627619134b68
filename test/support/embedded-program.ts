// A service reduced to its database: starts it, says so in JSON lines, stops it on SIGTERM.
import { startEmbedded } from '../../src/db/embedded.ts';

const say = (event: string, fields: object): void => {
  process.stdout.write(`${JSON.stringify({ ...fields, event })}\n`);
};

try {
  const log = {
    info: (fields: object, event: string) => say(event, fields),
    warn: (fields: object, event: string) => say(event, fields),
    error: (fields: object, event: string) => say(event, fields),
  };
  const embedded = await startEmbedded({ dataDir: process.argv[2] ?? 'data', log });
  const alive = setInterval(() => {}, 60_000);
  process.on('SIGINT', () => say('interrupted', {}));
  process.once('SIGTERM', async () => {
    await embedded.stop();
    clearInterval(alive);
  });
  say('up', { connection: embedded.connection, server: embedded.pid() });
} catch (error) {
  const { name, message } = error instanceof Error ? error : { name: 'unknown', message: String(error) };
  say('failed', { name, message });
  process.exitCode = 3;
}
