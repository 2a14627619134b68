/** Columns under their names, as wide as needed; `none` where there are no rows. */
export function table(columns: readonly string[], rows: readonly (readonly string[])[], none: string): string {
  if (rows.length === 0) return none;
  const all = [columns, ...rows.map((row) => row.map(visible))];
  const widths = columns.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)));
  return all
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** `name  value` lines; an empty value is shown as -. */
export function facts(pairs: readonly (readonly [string, string])[]): string {
  const width = Math.max(...pairs.map(([name]) => name.length));
  return pairs.map(([name, value]) => `${name.padEnd(width)}  ${visible(value) || '-'}`).join('\n');
}

/** A name from elsewhere must not steer the terminal. */
function visible(text: string): string {
  return text.replace(/\p{Cc}/gu, '?');
}
