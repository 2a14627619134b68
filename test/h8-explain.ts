import { watchGround } from './support/watch-ground.ts';
import { startNode } from '../src/replies/nodes.ts';
import { addMissing, claim, survey, changes } from '../src/replies/survey.ts';
import { endForgotten } from '../src/replies/ending.ts';
const ground = await watchGround();
const { sql } = ground;
const node = startNode({ sql, log: { warn: () => {} }, beatMs: 5000, deadMs: 15000 });
await node.known;
const time = async (name: string, work: () => Promise<unknown>) => { const f = performance.now(); await work(); console.log(name, Math.round(performance.now() - f)); };
await time('mailboxes', () => ground.mailboxes(10_000));
await time('survey', () => survey(sql, node));
await time('add', () => addMissing(sql));
await time('add', () => addMissing(sql));
await time('survey', () => survey(sql, node));
await time('claim', () => claim(sql, node, 500));
await time('claim', () => claim(sql, node, 500));
await time('claim', () => claim(sql, node, 1000));
await time('survey', () => survey(sql, node));
await time('changes', () => changes(sql, node.id));
await time('forgotten', () => endForgotten(sql));
await sql`analyze`;
for (let i = 0; i < 4; i++) {
await time('survey', () => survey(sql, node));
await time('changes', () => changes(sql, node.id));
}
await time('claim', () => claim(sql, node, 500));
await time('forgotten', () => endForgotten(sql));
await node.stop(); await ground.close();
