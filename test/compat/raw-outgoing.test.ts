// Drafts, schedules and redirect URIs in the words of every caller, with a slash at the end too, as the SDKs have to read them.
import { after, before } from 'node:test';
import { startWholeApi, type WholeApi } from '../support/whole-api.ts';
import {
  APPLICATION,
  DELETED,
  ONE_REDIRECT_URI,
  ONE_THREAD,
  REDIRECT_URI_LIST,
  REFUSAL,
  SENT_MESSAGE,
} from './members.ts';
import {
  DRAFT_LIST,
  ONE_DRAFT,
  ONE_SCHEDULE,
  SCHEDULE_LIST,
  SCHEDULE_STOPPED,
  SCHEDULED_SEND,
} from './outgoing-members.ts';
import { ask, expired, MAIL, next, PRACTICE, practiceMail, type Row, sendFrom } from './raw-rows.ts';

let api: WholeApi;
before(async () => {
  api = await startWholeApi();
});
after(async () => {
  await api.close();
});

const FULL = {
  ...MAIL,
  cc: [{ email: 'cc@example.com', name: '' }],
  from: [{ email: 'zoe@practice.test', name: 'Zoë' }],
  starred: true,
  metadata: { key1: 'one' },
  attachments: [{ filename: 'a.txt', content_type: 'text/plain', content: 'YQ==', size: 1 }],
  tracking_options: { opens: true, links: true, thread_replies: true, label: 'a' },
};

const NULLS = {
  to: null,
  cc: null,
  from: null,
  subject: null,
  body: null,
  starred: null,
  send_at: null,
  reply_to_message_id: null,
  custom_headers: null,
  attachments: null,
  tracking_options: null,
  is_plaintext: null,
  metadata: undefined,
};

/** The id in the answer of a POST. */
async function made(path: string, body: object, member: 'id' | 'schedule_id' = 'id'): Promise<string> {
  const response = await fetch(api.url + path, {
    method: 'POST',
    headers: { authorization: `Bearer ${api.key}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return String(Reflect.get(Object(JSON.parse(await response.text()).data), member));
}

const drafts = (): string => `/v3/grants/${api.grant.id}/drafts`;
const draft = async (body: object = FULL): Promise<string> => `${drafts()}/${await made(drafts(), body)}`;
const schedules = (): string => `/v3/grants/${api.grant.id}/messages/schedules`;
const later = (): number => Math.floor(Date.now() / 1000) + 3600;
const schedule = async (): Promise<string> => {
  const send = `/v3/grants/${api.grant.id}/messages/send`;
  return `${schedules()}/${await made(send, { ...MAIL, send_at: later() }, 'schedule_id')}`;
};
const URIS = '/v3/applications/redirect-uris';
const uri = (): object => ({
  url: `https://app.example.com/${next()}`,
  settings: { origin: 'https://app.example.com' },
});

const SUCCESSES: readonly Row[] = [
  {
    name: 'a draft made',
    method: 'POST',
    path: (_api, caller) => `/v3/grants/${caller.segment(PRACTICE)}/drafts`,
    body: () => FULL,
    status: 200,
    members: { ...ONE_DRAFT, 'data.metadata': 'object', 'data.tracking_options': 'object' },
  },
  { name: 'an empty draft', method: 'POST', path: drafts, body: () => ({}), status: 200, members: ONE_DRAFT },
  {
    name: 'a draft of nulls, which are None and nil',
    method: 'POST',
    path: drafts,
    body: () => NULLS,
    status: 200,
    members: ONE_DRAFT,
  },
  {
    name: 'a draft changed by nulls',
    method: 'PUT',
    path: () => draft(),
    body: () => NULLS,
    status: 200,
    members: { ...ONE_DRAFT, 'data.subject': [MAIL.subject], 'data.starred': [true], 'data.metadata.key1': ['one'] },
  },
  {
    name: 'a mail sent with nulls',
    method: 'POST',
    path: sendFrom(PRACTICE),
    body: () => ({ ...NULLS, to: MAIL.to }),
    status: 200,
    members: SENT_MESSAGE,
  },
  { name: 'the drafts', method: 'GET', path: drafts, status: 200, members: DRAFT_LIST },
  {
    name: 'a page of drafts',
    method: 'GET',
    path: async () => {
      await Promise.all([draft(), draft()]);
      return `${drafts()}?limit=1`;
    },
    status: 200,
    members: { ...DRAFT_LIST, next_cursor: 'string' },
  },
  { name: 'no drafts', method: 'GET', path: () => `${drafts()}?subject=none`, status: 200, members: DRAFT_LIST },
  { name: 'a draft found', method: 'GET', path: () => draft(), status: 200, members: ONE_DRAFT },
  {
    name: 'a draft changed',
    method: 'PUT',
    path: () => draft(),
    body: () => ({ subject: 'changed', attachments: [] }),
    status: 200,
    members: ONE_DRAFT,
  },
  { name: 'a draft sent', method: 'POST', path: () => draft(), status: 200, members: SENT_MESSAGE },
  {
    name: 'a draft sent with a warning',
    method: 'POST',
    path: () => draft({ ...FULL, is_plaintext: true }),
    status: 200,
    members: { ...SENT_MESSAGE, warnings: 'objects' },
  },
  { name: 'a draft deleted', method: 'DELETE', path: () => draft(), status: 200, members: DELETED },
  {
    name: 'a thread with a draft',
    method: 'GET',
    path: async (api) => {
      const { id, threadId } = await practiceMail(api, FULL);
      await draft({ ...FULL, reply_to_message_id: id });
      return `/v3/grants/${api.grant.id}/threads/${threadId}`;
    },
    status: 200,
    members: { ...ONE_THREAD, 'data.latest_draft_or_message.object': ['draft'], 'data.draft_ids': 'strings' },
  },
  {
    name: 'a thread of a draft alone',
    method: 'GET',
    path: async (api) => {
      const response = await fetch(api.url + (await draft()), { headers: { authorization: `Bearer ${api.key}` } });
      return `/v3/grants/${api.grant.id}/threads/${JSON.parse(await response.text()).data.thread_id}`;
    },
    status: 200,
    members: { ...ONE_THREAD, 'data.latest_draft_or_message.object': ['draft'] },
  },
  {
    name: 'a mail scheduled',
    method: 'POST',
    path: sendFrom(PRACTICE),
    body: () => ({ ...FULL, send_at: later() }),
    status: 200,
    members: SCHEDULED_SEND,
  },
  { name: 'a schedule found', method: 'GET', path: schedule, status: 200, members: ONE_SCHEDULE },
  { name: 'the schedules', method: 'GET', path: schedules, status: 200, members: SCHEDULE_LIST },
  { name: 'a schedule stopped', method: 'DELETE', path: schedule, status: 202, members: SCHEDULE_STOPPED },
  {
    name: 'a stopped schedule found',
    method: 'GET',
    path: async (api) => {
      const path = await schedule();
      await fetch(api.url + path, { method: 'DELETE', headers: { authorization: `Bearer ${api.key}` } });
      return path;
    },
    status: 200,
    members: { ...ONE_SCHEDULE, 'data.close_time': 'int' },
  },
  { name: 'a redirect URI made', method: 'POST', path: () => URIS, body: uri, status: 200, members: ONE_REDIRECT_URI },
  {
    name: 'a redirect URI found',
    method: 'GET',
    path: async () => `${URIS}/${await made(URIS, uri())}`,
    status: 200,
    members: ONE_REDIRECT_URI,
  },
  {
    name: 'a redirect URI changed',
    method: 'PATCH',
    path: async () => `${URIS}/${await made(URIS, uri())}`,
    body: () => ({ platform: 'ios', settings: { bundle_id: 'com.example' } }),
    status: 200,
    members: ONE_REDIRECT_URI,
  },
  { name: 'the redirect URIs', method: 'GET', path: () => URIS, status: 200, members: REDIRECT_URI_LIST },
  {
    name: 'a redirect URI deleted',
    method: 'DELETE',
    path: async () => `${URIS}/${await made(URIS, uri())}`,
    status: 200,
    members: DELETED,
  },
  {
    name: 'the application with them',
    method: 'GET',
    path: () => '/v3/applications',
    status: 200,
    members: APPLICATION,
  },
];

const REFUSALS: readonly Row[] = [
  { name: 'an unknown draft', method: 'GET', path: () => `${drafts()}/dft_unknown`, status: 404, members: REFUSAL },
  { name: 'an unknown draft to send', method: 'POST', path: () => `${drafts()}/x`, status: 404, members: REFUSAL },
  {
    name: 'a draft to nobody',
    method: 'POST',
    path: () => draft({ subject: 'to nobody' }),
    status: 400,
    members: REFUSAL,
  },
  { name: 'a wrong page of drafts', method: 'GET', path: () => `${drafts()}?limit=0`, status: 400, members: REFUSAL },
  {
    name: 'drafts of an expired grant',
    method: 'GET',
    path: async (api, caller) => `/v3/grants/${caller.segment(await expired(api))}/drafts`,
    status: 401,
    members: REFUSAL,
  },
  { name: 'an unknown schedule', method: 'DELETE', path: () => `${schedules()}/x`, status: 404, members: REFUSAL },
  {
    name: 'a mail scheduled too soon',
    method: 'POST',
    path: sendFrom(PRACTICE),
    body: () => ({ ...MAIL, send_at: 1 }),
    status: 400,
    members: REFUSAL,
  },
  { name: 'an unknown redirect URI', method: 'GET', path: () => `${URIS}/x`, status: 404, members: REFUSAL },
  { name: 'a redirect URI without a URL', method: 'POST', path: () => URIS, status: 400, members: REFUSAL },
  { name: 'a wrong method for drafts', method: 'PATCH', path: drafts, status: 405, members: REFUSAL },
];

ask('answers about what is to be sent', () => api, SUCCESSES);
ask('refusals about what is to be sent', () => api, REFUSALS);
