/** How every sentence of ours writes a day: cards, reports and the app stand side by side in one chart. */

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** `2026-11-21T…` → `21 Nov 2026`. DICOM times have no zone, so the day is taken as it is written. */
export function dayInWords(time: string): string {
  const [, year, month, day] = /^(\d{4})-(\d{2})-(\d{2})/.exec(time) ?? [];
  return year === undefined ? 'unknown date' : `${Number(day)} ${months[Number(month) - 1] ?? '?'} ${year}`;
}
