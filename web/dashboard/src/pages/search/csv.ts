/** csvLine writes fields as one line of a CSV file (RFC 4180), with its end. */
export function csvLine(fields: string[]): string {
  return `${fields.map((field) => csvField(defused(field))).join(',')}\r\n`
}

function csvField(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

/**
 * defused writes ' before what a spreadsheet would run as a formula: much in these files was chosen by strangers. A number stays as it is.
 */
function defused(text: string): string {
  return /^[=+\-@\t\r\n]/.test(text) && !/^-?\d+(\.\d+)?$/.test(text) ? `'${text}` : text
}
