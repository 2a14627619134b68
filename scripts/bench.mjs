// Runs the benches one after the other and closes with their figures: node scripts/bench.mjs [--dist DIR] [name ...]
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const args = process.argv.slice(2);
const at = args.indexOf('--dist');
const dist = at < 0 ? 'dist' : args.splice(at, 2)[1];
const figures = [];

for (const file of readdirSync(join(dist, 'bench')).sort()) {
  if (!file.endsWith('.js') || file.endsWith('.test.js')) continue;
  if (args.length > 0 && !args.includes(file.slice(0, -3))) continue;
  console.log(`\n== bench/${file.slice(0, -3)}`);
  const code = await new Promise((resolve) => {
    const child = spawn(process.execPath, [join(dist, 'bench', file)], { stdio: ['ignore', 'pipe', 'inherit'] });
    let rest = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
      process.stdout.write(text);
      const lines = (rest + text).split('\n');
      rest = lines.pop();
      for (const line of lines) if (line.startsWith('FIGURE ')) figures.push(line.slice(7));
    });
    child.once('close', resolve);
  });
  if (code !== 0) process.exitCode = 1;
}
console.log(`\n${figures.map((line) => `${line.replace(/ (?=\S+$)/, '\t')}`).join('\n')}`);
