// Drafts of one grant, as Nylas's own Node SDK, unmodified, makes, changes and finds them.
import type { CompatGround, Sdk } from './compat-ground.ts';

export type DraftRequest = Parameters<Sdk['drafts']['create']>[0]['requestBody'];
export type DraftChanges = Parameters<Sdk['drafts']['update']>[0]['requestBody'];
type Sent = Awaited<ReturnType<Sdk['drafts']['send']>>['data'];
type Draft = Awaited<ReturnType<Sdk['drafts']['find']>>['data'];

export const KIM = { name: 'Kim Größe', email: 'kim@example.com' };
export const MAIL: DraftRequest = {
  to: [KIM],
  subject: 'Hello',
  body: '<p>Hello <a href="https://example.com/a">a</a></p>',
};

export interface DraftCalls {
  /** `MAIL` with `changes`, which also have what the API knows and the SDK's types do not. */
  create(changes?: object): Promise<Draft>;
  update(draftId: string, changes: DraftChanges): Promise<Draft>;
  find(draftId: string, identifier?: string): Promise<Draft>;
  /** What was answered, and the mail that left. */
  send(draftId: string): Promise<{ readonly data: Sent } & Awaited<ReturnType<CompatGround['left']>>>;
}

export function draftCalls({ sdk, grant: identifier, left }: Pick<CompatGround, 'sdk' | 'grant' | 'left'>): DraftCalls {
  return {
    create: async (changes = {}) =>
      (await sdk.drafts.create({ identifier, requestBody: { ...MAIL, ...changes } })).data,
    update: async (draftId, requestBody) => (await sdk.drafts.update({ identifier, draftId, requestBody })).data,
    find: async (draftId, named = identifier) => (await sdk.drafts.find({ identifier: named, draftId })).data,
    async send(draftId) {
      const { data } = await sdk.drafts.send({ identifier, draftId });
      return { data, ...(await left(data.id)) };
    },
  };
}
