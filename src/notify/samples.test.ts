import assert from 'node:assert/strict';
import { test } from 'node:test';
import { uuidv7 } from '../ids.ts';
import { renderPayload } from './payloads.ts';
import { SAMPLED, sampleState } from './samples.ts';
import { isTrigger, TRIGGERS } from './triggers.ts';

const AT = Date.UTC(2026, 10, 22, 12);
const applicationId = '6a0e1f52-0d57-4b44-9c27-0f6c0f5b7a11';

test('there is an example of all that is told, and of nothing else', () => {
  assert.deepEqual(
    SAMPLED.filter((trigger) => !isTrigger(trigger)),
    ['message.created.truncated'],
  );
  for (const trigger of [...TRIGGERS, 'message.created.truncated', 'message.opened.truncated', '']) {
    const state = sampleState(trigger, { id: uuidv7(AT), applicationId });
    assert.equal(state !== null, SAMPLED.includes(trigger), trigger);
  }
});

test('examples are called by what was asked for, belong to who asks, and are of now', () => {
  for (const trigger of SAMPLED) {
    const state = sampleState(trigger, { id: uuidv7(AT), applicationId });
    assert.ok(state);
    const json = renderPayload(state, 1);
    const payload = JSON.parse(json);
    assert.equal(payload.type, trigger);
    assert.equal(payload.time, AT / 1000);
    assert.equal(payload.data.application_id, applicationId);
    assert.equal(payload.data.object.grant_id, state.grantId);
    assert.equal(JSON.stringify(payload), json);
    assert.ok(!json.includes('undefined') && !json.includes('NaN'));
  }
});
