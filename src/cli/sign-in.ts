import { createSignInToken } from '../grants/sign-in.ts';
import { type Command, count } from './command.ts';

export const signIn: Command = {
  words: ['sign-in'],
  usage: '',
  summary: 'print a fresh address that signs a browser in, once, within 24 hours',
  check: count(0),
  async run({ sql, config }) {
    const url = `${config.publicUrl}/sign-in?token=${await createSignInToken(sql)}`;
    return { json: { url }, text: url };
  },
};
