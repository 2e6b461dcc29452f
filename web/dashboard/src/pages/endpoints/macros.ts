import type { Schemas } from '../../api/client'

type Macros = Schemas['MacroList']

/** A Macro as the endpoint's notation writes it. */
export interface Macro {
  name: string
  written: string
  meaning: string
  sample: string
}

/** A Notation is how macros are written for an endpoint: what stands before and behind each name, and all of them. */
export interface Notation {
  open: string
  close: string
  macros: Macro[]
}

/** notationOf is carom's own, or that of the dialect. */
export function notationOf(known: Macros | undefined, dialect: string): Notation {
  const own = known?.macros ?? []
  const chosen = known?.dialects.find((d) => d.name === dialect)
  const macros = chosen ? chosen.macros.flatMap((m) => own.filter((o) => o.name === m.name).map((o) => ({ ...o, written: m.written }))) : own
  const open = sharedBeginning(macros.map((m) => m.written))
  const close = reverse(sharedBeginning(macros.map((m) => reverse(m.written))))
  return { open, close, macros }
}

const reverse = (text: string) => [...text].reverse().join('')

/** sharedBeginning is the signs, not letters, with which all texts begin. */
function sharedBeginning(texts: string[]): string {
  const first = texts[0]
  if (first === undefined) return '{'
  let n = 0
  while (n < first.length && texts.every((text) => text[n] === first[n]) && /[^\w.]|_/.test(first[n]!)) n++
  return first.slice(0, n)
}

/**
 * completing says which macro is being written before the caret: where it begins, and those that it can become, best first. It is undefined when
 * none is.
 */
export function completing(text: string, caret: number, known: Notation): { from: number; fits: Macro[] } | undefined {
  const before = text.slice(0, caret)
  const from = known.open ? before.lastIndexOf(known.open) : -1
  if (from < 0) return undefined
  // Where a macro ends with what another begins with, as in %name%, a whole one begins none.
  if (known.macros.some((m) => before.endsWith(m.written))) return undefined
  const typed = before.slice(from + known.open.length).toLowerCase()
  if (!/^[\w.]*$/.test(typed)) return undefined
  // In a notation of percent signs, %2F is a character.
  if (known.open.includes('%') && /^[0-9a-f]{2}$/.test(typed)) return undefined
  const rank = (m: Macro) => {
    const name = m.written.slice(known.open.length, m.written.length - known.close.length).toLowerCase()
    if (name.startsWith(typed)) return 0
    if (name.includes(typed) || m.name.includes(typed)) return 1
    return typed.length > 2 && m.meaning.toLowerCase().includes(typed) ? 2 : -1
  }
  const fits = known.macros
    .map((m) => ({ m, r: rank(m) }))
    .filter(({ r }) => r >= 0)
    .sort((a, b) => a.r - b.r)
    .map(({ m }) => m)
  return fits.length > 0 ? { from, fits } : undefined
}

/** A Part of a rendered text is what a macro became, or stands between two. */
export interface Part {
  text: string
  macro?: string
  masked?: boolean
}

type Use = Schemas['TemplateMacro']

/**
 * rendered finds in a rendered URL what each macro of the template became. When the two do not fit together, all is one part: what the server
 * rendered is shown in any case, and only the marks are missing.
 */
export function rendered(template: string, text: string, uses: Use[]): Part[] {
  const pieces = piecesOf(template, uses)
  const whole = [{ text }]
  const parts: Part[] = []
  let at = 0
  for (const [i, piece] of pieces.entries()) {
    if (!piece.use) {
      const hidden = !text.startsWith(piece.text, at) && text.startsWith('***', at)
      const is = hidden ? '***' : piece.text
      if (!text.startsWith(is, at)) return whole
      parts.push(hidden ? { text: is, masked: true } : { text: is })
      at += is.length
      continue
    }
    const next = pieces[i + 1]
    const sample = encodeURIComponent(piece.use.sample)
    const fits = (end: number) => (!next ? end === text.length : !!next.use || text.startsWith(next.text, end) || text.startsWith('***', end))
    let end = at + sample.length
    if (!text.startsWith(sample, at) || !fits(end)) end = !next || next.use ? text.length : text.indexOf(next.text, at)
    if (end < 0) return whole
    parts.push({ text: text.slice(at, end), macro: piece.use.written })
    at = end
  }
  return at === text.length ? parts : whole
}

/** piecesOf cuts a template into macros and what stands between them; the value of a whole constant parameter is a piece, as it may be masked. */
function piecesOf(template: string, uses: Use[]): { text: string; use?: Use }[] {
  const list: { text: string; use?: Use }[] = []
  const literal = (text: string) => {
    for (const part of text.split(/(?<==)(?=[^&])|(?=&)/)) if (part) list.push({ text: part })
  }
  const longest = [...uses].sort((a, b) => b.written.length - a.written.length)
  let from = 0
  for (let at = 0; at < template.length; ) {
    const use = longest.find((u) => u.written && template.startsWith(u.written, at))
    if (!use) {
      at++
      continue
    }
    literal(template.slice(from, at))
    list.push({ text: use.written, use })
    from = at += use.written.length
  }
  literal(template.slice(from))
  return list
}
