import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  DEFAULT_SETTINGS,
  parseSettings,
  SettingsProblem,
  settingFromText,
  settingNames,
  settingsToStore,
  settingsToWire,
  storedSettings,
} from './settings.ts';

function problems(wire: unknown): readonly string[] {
  try {
    parseSettings(wire);
  } catch (error) {
    assert.ok(error instanceof SettingsProblem);
    return error.problems;
  }
  return [];
}

describe('tracking settings', () => {
  it('shows exactly the settings of D25 with their defaults, and one of ours where it is on', () => {
    assert.deepEqual(settingsToWire(DEFAULT_SETTINGS), {
      link_schemes: ['https', 'mailto', 'tel'],
      secret_parameters: [],
      open_dedupe_seconds: 0,
      deleted_grant_links: 'stop',
      notify_self_replies: false,
      notify_auto_replies: false,
      retry_schedule: 'default',
      reply_watch_days: 90,
      click_settle_ms: 0,
      max_notifications_per_minute: 600,
      notify_classes: null,
    });
    assert.equal(settingsToWire({ ...DEFAULT_SETTINGS, notifySends: true }).notify_sends, true);
  });

  it('reads a patch of any of them', () => {
    const wire = {
      link_schemes: ['http', 'https'],
      secret_parameters: ['ticket', 'X-Sig'],
      open_dedupe_seconds: 60,
      deleted_grant_links: 'forward',
      notify_self_replies: true,
      notify_auto_replies: true,
      notify_sends: true,
      retry_schedule: 'nylas',
      reply_watch_days: 7,
      click_settle_ms: 2500,
      max_notifications_per_minute: 10,
      notify_classes: ['human', 'proxy'],
    };
    assert.deepEqual(settingsToWire({ ...DEFAULT_SETTINGS, ...parseSettings(wire) }), wire);
    assert.deepEqual(Object.keys(wire), settingNames());
    assert.deepEqual(parseSettings({}), {});
  });

  it('names every key that is wrong, and says what is right', () => {
    assert.deepEqual(problems({ link_schemes: ['ftp'], open_dedupe_seconds: '60', colour: 1 }), [
      'tracking_settings.link_schemes must be a list out of "https", "http", "mailto", "tel"',
      'tracking_settings.open_dedupe_seconds must be a whole number from 0 to 86400',
      'tracking_settings.colour is not a known setting',
    ]);
    assert.deepEqual(problems([]), ['tracking_settings must be an object']);
    assert.deepEqual(problems(null), ['tracking_settings must be an object']);
  });

  const bad: readonly (readonly [string, unknown])[] = [
    ['link_schemes', 'https'],
    ['link_schemes', null],
    ['link_schemes', [1]],
    ['secret_parameters', ['a b']],
    ['secret_parameters', Array.from({ length: 101 }, (_, index) => `p${index}`)],
    ['open_dedupe_seconds', -1],
    ['open_dedupe_seconds', 1.5],
    ['deleted_grant_links', 'STOP'],
    ['notify_self_replies', 'true'],
    ['notify_sends', 1],
    ['retry_schedule', ''],
    ['reply_watch_days', 0],
    ['click_settle_ms', 60_001],
    ['max_notifications_per_minute', Number.NaN],
    ['notify_classes', ['robots']],
    ['__proto__', {}],
    ['toString', 1],
  ];
  for (const [key, value] of bad) {
    it(`refuses ${key} = ${JSON.stringify(value).slice(0, 40)}`, () => {
      const wire = JSON.parse(`{${JSON.stringify(key)}: ${JSON.stringify(value)}}`);
      const [problem, ...more] = problems(wire);
      assert.match(problem ?? '', new RegExp(`^tracking_settings\\.${key} `));
      assert.deepEqual(more, []);
    });
  }

  it('drops duplicates of a list and keeps its order', () => {
    assert.deepEqual(parseSettings({ link_schemes: ['tel', 'https', 'tel'] }), { linkSchemes: ['tel', 'https'] });
  });

  it('stores only what differs from the default, under wire names', () => {
    const settings = { ...DEFAULT_SETTINGS, openDedupeSeconds: 60, linkSchemes: ['https', 'mailto', 'tel'] as const };
    assert.deepEqual(settingsToStore(settings), { open_dedupe_seconds: 60 });
    assert.deepEqual(storedSettings(settingsToStore(settings)), settings);
  });

  it('takes the default for stored keys and values it does not know', () => {
    const stored = { from_the_future: 1, reply_watch_days: 'soon', notify_classes: [] };
    assert.deepEqual(storedSettings(stored), { ...DEFAULT_SETTINGS, notifyClasses: [] });
    assert.deepEqual(storedSettings(null), DEFAULT_SETTINGS);
  });

  const texts: readonly (readonly [string, string, unknown])[] = [
    ['open_dedupe_seconds', '60', 60],
    ['notify_self_replies', 'true', true],
    ['retry_schedule', 'nylas', 'nylas'],
    ['link_schemes', 'https, http', ['https', 'http']],
    ['link_schemes', '["https"]', ['https']],
    ['secret_parameters', '', []],
    ['secret_parameters', '5', ['5']],
    ['notify_classes', 'null', null],
    ['notify_classes', 'human', ['human']],
    ['unknown', 'x', 'x'],
  ];
  for (const [key, text, value] of texts) {
    it(`understands ${key}=${text} on a command line`, () => assert.deepEqual(settingFromText(key, text), value));
  }
});
