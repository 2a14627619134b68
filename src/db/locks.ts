/** Advisory locks, one number each: whoever takes one is alone with that work in the whole database. */
export const LOCKS = {
  migrate: 7_315_201,
  partitions: 7_315_202,
  keyring: 7_315_203,
  firstApplication: 7_315_204,
} as const;
