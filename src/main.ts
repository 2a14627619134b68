// Builds the parts by hand in order and stops them in reverse. Links and pixels are answered first and last.
import { loadConfig } from './config.ts';
import { StartError } from './errors.ts';
import { makeLog } from './log.ts';
import { startDoors } from './main/doors.ts';
import { startInside } from './main/inside.ts';
import { Releasers } from './main/releasers.ts';

/** Below the ten seconds that supervisors usually grant. */
const STOP_WITHIN_MS = 9500;

try {
  await run();
} catch (error) {
  process.stderr.write(`\nTelltale did not start.\n\n${explain(error)}\n\n`);
  process.exit(1);
}

async function run(): Promise<void> {
  const config = loadConfig(process.env, process.argv.slice(2));
  const log = makeLog(config.logLevel);
  const releasers = new Releasers(log);
  const stop = (signal: NodeJS.Signals): void => {
    if (releasers.begun) return void process.kill(process.pid, 'SIGKILL'); // safe: what was answered is on disk
    log.info({ signal }, 'service.stopping');
    setTimeout(() => {
      log.error({}, 'service.stopped_late');
      process.exit(1);
    }, STOP_WITHIN_MS).unref();
    releasers.release().then(
      () => process.exit(0),
      (error: unknown) => {
        log.error({ err: error }, 'service.stop_failed');
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', stop).on('SIGINT', stop);
  process.stdout.on('error', () => {}); // a closed pipe or a full disk there is no reason to end

  try {
    const doors = await startDoors({ config, log, releasers });
    const greeting = await startInside({ config, log, releasers, doors });
    if (releasers.begun) return;
    doors.open();
    log.info({ roles: [...config.roles], public_url: config.publicUrl }, 'service.ready');
    process.stdout.write(greeting);
  } catch (error) {
    if (releasers.begun) return; // asked to stop while starting: what broke off is no failure
    await releasers.release();
    throw error;
  }
}

function explain(error: unknown): string {
  if (error instanceof StartError) return error.problems.map((problem) => `  ${problem}`).join('\n');
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
