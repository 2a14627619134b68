const LONGEST = 500;
const MOST_PREFIXES = 20;

// What mail programs put before the subject of an answer or a forwarded mail, in the languages they are common in.
const PREFIX =
  /(?:re|aw|antw|ant|sv|vs|vá|fwd?|wg|tr|rv|res|rif|ref|enc|odp|pd|ynt|ilt|doorst|vb|na|отв|ответ|回复|回覆|答复|答覆|转发|轉寄|返信|転送|r|i)\s*(?:\[\d{1,4}\]|\(\d{1,4}\)|\^\d{1,4})?\s*[:：]\s*/uy;

/** A subject without what was put before it when it was answered or forwarded; lower case, white space as single spaces. */
export function baseSubject(subject: string): string {
  const folded = subject.slice(0, LONGEST).toWellFormed().normalize('NFKC').toLowerCase().replace(/\s+/g, ' ').trim();
  let at = 0;
  for (let count = 0; count < MOST_PREFIXES; count++) {
    PREFIX.lastIndex = at;
    if (!PREFIX.test(folded)) break;
    at = PREFIX.lastIndex;
  }
  return folded.slice(at);
}
