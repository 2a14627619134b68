// Runs the built tests with node:test and closes with one plain line: N passed, N failed[, N skipped].
// Usage: node scripts/test.mjs [--dist DIR] [--short] [part of a path ...]
// --short leaves out the long journeys, which are about crashes, outages and load: for a second version of Node.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

const args = process.argv.slice(2);
const at = args.indexOf('--dist');
const dist = at < 0 ? 'dist' : args.splice(at, 2)[1];

const LONG =
  /journeys.(.*kill|.*crash|.*outages?|.*fairness|.*memory|idempotency|restarts|replay|changed-settings|edge-(disk|faults)|replies-(arrivals|classes|practice))\.test/;
const isShort = args[0] === '--short' && args.shift() !== undefined;

const files = readdirSync(dist, { recursive: true })
  .filter((file) => file.endsWith('.test.js'))
  .filter((file) => !(isShort && LONG.test(file)))
  .filter((file) => args.length === 0 || args.some((part) => file.includes(part)))
  .map((file) => join(process.cwd(), dist, file))
  // Whole services first: they take longest, mostly waiting, and what is short fits in beside them.
  .sort((a, b) => Number(b.includes('journeys')) - Number(a.includes('journeys')) || (a < b ? -1 : 1));

const count = { passed: 0, failed: 0, skipped: 0 };
const skipped = [];
const stream = run({ files, concurrency: 4, timeout: 600_000 });
stream.on('test:fail', (event) => {
  if (event.details.type !== 'suite') count.failed++;
  process.exitCode = 1;
});
stream.on('test:pass', (event) => {
  // A suite that is skipped as a whole says so once, for all that it holds.
  if (event.skip !== undefined || event.todo !== undefined) {
    count.skipped++;
    skipped.push(`${event.name}: ${event.skip || event.todo}`);
  } else if (event.details.type !== 'suite' && event.name !== event.file) count.passed++;
});
stream.on('end', () => {
  for (const line of skipped) console.log(`SKIPPED ${line}`);
  if (isShort) console.log('left out: the long journeys (--short)');
  const tail = count.skipped > 0 ? `, ${count.skipped} skipped` : '';
  if (count.passed + count.failed === 0) process.exitCode = 1;
  setImmediate(() => console.log(`${count.passed} passed, ${count.failed} failed${tail}`));
});
stream.compose(spec).pipe(process.stdout);
