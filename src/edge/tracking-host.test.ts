import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tellTrackingHost } from './tracking-host.ts';

test('the tracking host is known however it is written', () => {
  const asks = tellTrackingHost('track.test:18733', 'app.test:18733');
  for (const host of [
    'track.test:18733',
    'track.test',
    'Track.TEST',
    'track.test.',
    'track.test.:18733',
    'track.test:1',
  ])
    assert.equal(asks('/v3/x', host), true, host);
  for (const host of ['app.test:18733', 'app.test', 'x.track.test', 'track.test.evil', '', undefined])
    assert.equal(asks('/v3/x', host), false, host);
});

test('the host of an absolute form counts before the header', () => {
  const asks = tellTrackingHost('track.test', 'app.test');
  const absolute = ['http://track.test/v3', 'HTTPS://Track.Test:81?x', 'http://user:p@track.test./', 'ws://track.test'];
  for (const target of absolute) assert.equal(asks(target, 'app.test'), true, target);
  for (const target of ['http://app.test/@track.test', 'http://track.test@app.test/', 'http://app.test?://track.test'])
    assert.equal(asks(target, 'track.test'), false, target);
  for (const target of ['//app.test/', '/http://app.test/', '*', '', 'http:/app.test'])
    assert.equal(asks(target, 'track.test'), true, target);
});

test('hosts of the same name are told apart by their port', () => {
  const asks = tellTrackingHost('localhost:8443', 'LOCALHOST');
  assert.equal(asks('/', 'localhost:8443'), true);
  assert.equal(asks('/', 'Localhost.:8443'), true);
  for (const host of ['localhost', 'localhost:80', 'localhost:443', 'localhost:844', 'other:8443'])
    assert.equal(asks('/', host), false, host);
  const mirrored = tellTrackingHost('[::1]', '[::1]:8443');
  assert.equal(mirrored('/', '[::1]:443'), true);
  assert.equal(mirrored('/', '[::1]:8443'), false);
});

test('without another host none is for tracking only', () => {
  assert.equal(tellTrackingHost(null, 'app.test')('/', 'app.test'), false);
  assert.equal(tellTrackingHost('app.test', 'app.test')('/', 'app.test'), false); // the scheme alone differs
});

test('a public host that is not known leaves it to the port', () => {
  const asks = tellTrackingHost('track.test:18733', null);
  assert.equal(asks('/', 'TRACK.test.:18733'), true);
  assert.equal(asks('/', 'track.test:18734'), false);
});

test('takes linear time', () => {
  const asks = tellTrackingHost('track.test', 'app.test');
  const started = performance.now();
  for (const piece of ['@', ':', '.', ' ', '[', 'a', '://', 'http://'])
    for (let i = 0; i < 20; i++) {
      asks('/', piece.repeat(16_000));
      asks(`http://${piece.repeat(16_000)}`, '');
    }
  assert.ok(performance.now() - started < 1000);
});
