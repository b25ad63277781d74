/** DICOM dates and times as ISO 8601. */

/** DA and TM as ISO 8601 without a zone, which DICOM times do not have. */
export function dateTime(date: string | undefined, time: string | undefined): string | undefined {
  const day = /^(\d{4})\.?(\d{2})\.?(\d{2})$/.exec(date ?? '');
  if (day === null) return undefined;
  const clock = /^(\d{2}):?(\d{2})?:?(\d{2})?/.exec(time ?? '');
  const parts = clock === null ? ['00', '00', '00'] : [clock[1], clock[2] ?? '00', clock[3] ?? '00'];
  return `${day[1]}-${day[2]}-${day[3]}T${parts.join(':')}`;
}
