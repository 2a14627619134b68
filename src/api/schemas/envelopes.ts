// Whole bodies of answers (contract 7.1).
import {
  type SchemaOptions,
  type TObject,
  type TProperties,
  type TSchema,
  type TUnsafe,
  Type,
} from '@sinclair/typebox';

const RequestId = Type.String({ format: 'uuid', description: 'Also in the header x-request-id.' });

/** The body of every refusal; the SDKs need all of its required members (contract 7.6). */
export const ErrorAnswer = Type.Object(
  {
    request_id: RequestId,
    error: Type.Object({
      type: Type.String({ description: 'Such as api.invalid_request_error; numeric for webhooks and channels.' }),
      message: Type.String({ description: 'Names the field and the rule.' }),
      provider_error: Type.Optional(
        Type.Unsafe<object>({
          type: 'object',
          additionalProperties: true,
          description: 'What the mail provider said: `reason` in its words, and what is known besides.',
        }),
      ),
    }),
  },
  { title: 'Error' },
);

/** The body of what has no `data`, such as a deletion. */
export const Done = Type.Object({ request_id: RequestId }, { title: 'Done' });

/** The envelope of a success. */
export function answerOf<T extends TSchema>(data: T, extra: TProperties = {}): TObject {
  return Type.Object({ request_id: RequestId, data, ...extra });
}

export function listOf<T extends TSchema>(item: T, extra: TProperties = {}): TObject {
  return answerOf(Type.Array(item), extra);
}

/** The end of a page: what to ask for as `page_token`. */
export const NEXT_CURSOR = {
  next_cursor: Type.Union([Type.String(), Type.Null()], {
    description: 'The page_token of the next page; null at the end of the list.',
  }),
};

const Warning = Type.Object({ type: Type.String(), message: Type.String() }, { title: 'Warning' });

/** What could not be done although the call succeeded (D24). */
export const WARNINGS = {
  warnings: Type.Optional(Type.Array(Warning, { description: 'What could not be done although the call succeeded.' })),
};

/** One of these words; TypeBox's own union of literals would read worse. */
export function wordOf<const W extends string>(words: readonly W[], options: SchemaOptions = {}): TUnsafe<W> {
  return Type.Unsafe<W>({ type: 'string', enum: words, ...options });
}

export function orNull<T extends TSchema>(schema: T): TSchema {
  return Type.Union([schema, Type.Null()]);
}
