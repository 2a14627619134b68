import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseTopic, pathOf } from './topic.ts';

const FORM = 'must have the form projects/<project id>/topics/<topic id>';
const PROJECT =
  'names no project: a project id has at most 30 lower-case letters, digits and hyphens, begins with a letter and does not end with a hyphen';
const LENGTH = 'has a topic id that does not have 3 to 255 characters';
const CHARACTERS = 'has a topic id that has other characters than letters, digits and - _ . ~ + %';

describe('names of topics', () => {
  for (const [topic, path] of [
    ['projects/my-project/topics/events', 'projects/my-project/topics/events'],
    ['projects/example.com:proj/topics/events', 'projects/example.com%3Aproj/topics/events'],
    ['projects/123456789012/topics/events', 'projects/123456789012/topics/events'],
    ['projects/p1/topics/A-b_c.d~e+f%67', 'projects/p1/topics/A-b_c.d~e%2Bf%2567'],
    [`projects/${'a'.repeat(30)}/topics/${'x'.repeat(255)}`, `projects/${'a'.repeat(30)}/topics/${'x'.repeat(255)}`],
    ['projects/my-project/topics/Google', 'projects/my-project/topics/Google'],
  ] as const) {
    it(`takes ${topic.slice(0, 60)}`, () => {
      const parsed = parseTopic(topic);
      assert.ok('name' in parsed, JSON.stringify(parsed));
      assert.equal(pathOf(parsed), path);
    });
  }

  for (const [topic, problem] of [
    ['', FORM],
    ['events', FORM],
    ['https://pubsub.googleapis.com/v1/projects/my-project/topics/events', FORM],
    ['projects/my-project/subscriptions/events', FORM],
    ['projects/my-project/topics/events/', FORM],
    ['projects/my-project/topics/', FORM],
    ['projects//topics/events', FORM],
    ['projects/my-project/topics/events\n', CHARACTERS],
    ['projects/My-Project/topics/events', PROJECT],
    ['projects/my_project/topics/events', PROJECT],
    ['projects/my-project-/topics/events', PROJECT],
    ['projects/1project/topics/events', PROJECT],
    ['projects/../topics/events', PROJECT],
    ['projects/:proj/topics/events', PROJECT],
    [`projects/${'a'.repeat(31)}/topics/events`, PROJECT],
    ['projects/my-project/topics/ab', LENGTH],
    [`projects/my-project/topics/${'x'.repeat(256)}`, LENGTH],
    ['projects/my-project/topics/1events', 'has a topic id that does not begin with a letter'],
    ['projects/my-project/topics/googly', 'has a topic id that begins with goog, which Google keeps for itself'],
    ['projects/my-project/topics/my events', CHARACTERS],
    ['projects/my-project/topics/events:publish', CHARACTERS],
    ['projects/my-project/topics/fêtes', CHARACTERS],
  ] as const) {
    it(`refuses ${JSON.stringify(topic.slice(0, 60))}`, () => {
      assert.deepEqual(parseTopic(topic), { problem });
    });
  }
});
