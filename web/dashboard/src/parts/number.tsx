const whole = new Intl.NumberFormat()
const share = new Intl.NumberFormat(undefined, { style: 'percent', maximumFractionDigits: 1 })

/** count writes a whole number with the viewer's separators. */
export const count = (n: number): string => whole.format(n)

/** percent writes part of all; a dash where there is nothing to divide. */
export const percent = (part: number, all: number): string => (all > 0 ? share.format(part / all) : '–')

/**
 * money writes a decimal text with the viewer's separators, and loses no digit: the text never becomes a float. At most so many decimals
 * are shown when decimals is given; the whole stands in the title of whoever shows it.
 */
export function money(text: string | undefined, decimals?: number): string {
  if (!text) return '–'
  const [sign, digits] = text.startsWith('-') ? ['−', text.slice(1)] : ['', text]
  const [integer = '0', fraction = ''] = digits.split('.')
  const shown = decimals === undefined ? fraction : fraction.slice(0, decimals)
  const point = (1.1).toLocaleString().charAt(1)
  return sign + whole.format(BigInt(integer)) + (shown ? point + shown : '')
}
