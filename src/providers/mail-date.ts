const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const DATE =
  /^(?:[a-z]{2,9}\.?,?\s{0,9})?(\d{1,2})[\s-]{1,9}([a-z]{3})[a-z]{0,6}[\s-]{1,9}(\d{2,4})\s{1,9}(\d{1,2}):(\d{2})(?::(\d{2}))?\s{0,9}([+-]\d{4}|[a-z]{1,5})?/i;
/** RFC 5322 section 4.3; any other word says nothing. */
const ZONES = new Map([
  ['EST', -300],
  ['EDT', -240],
  ['CST', -360],
  ['CDT', -300],
  ['MST', -420],
  ['MDT', -360],
  ['PST', -480],
  ['PDT', -420],
]);
const LONGEST_DATE = 200;

/** When a Date field says; null where it cannot be read, or says a time no mail was ever written at. */
export function mailDate(field: string): Date | null {
  const [found, day = '', month = '', year = '', hours = '', minutes = '', seconds = '0', zone = ''] =
    DATE.exec(field.slice(0, LONGEST_DATE).trim()) ?? [];
  const monthAt = MONTHS.indexOf(month.toLowerCase());
  if (found === undefined || monthAt < 0 || Number(hours) > 23 || Number(minutes) > 59) return null;
  const utc = Date.UTC(
    fullYear(year),
    monthAt,
    Number(day),
    Number(hours),
    Number(minutes) - offset(zone),
    Number(seconds),
  );
  const date = new Date(utc);
  return date.getUTCFullYear() >= 1970 && date.getUTCFullYear() <= 9999 ? date : null;
}

/** RFC 5322 section 4.3. */
function fullYear(written: string): number {
  const year = Number(written);
  if (written.length === 3) return 1900 + year;
  if (written.length > 2) return year;
  return year < 50 ? 2000 + year : 1900 + year;
}

/** Minutes east of Greenwich. */
function offset(zone: string): number {
  if (!/^[+-]/.test(zone)) return ZONES.get(zone.toUpperCase()) ?? 0;
  const minutes = Number(zone.slice(1, 3)) * 60 + Number(zone.slice(3, 5));
  return zone.startsWith('-') ? -minutes : minutes;
}
