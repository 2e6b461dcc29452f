// Macros in a text: how they are written, put in, completed, and found again in what was rendered.

/** notation is how macros are written for an endpoint: what stands before and behind a name, and every macro. */
export function notation(setup, dialect) {
  const own = new Map(setup.macros.map((m) => [m.name, m]))
  const chosen = setup.dialects.find((d) => d.name === dialect)
  const macros = chosen
    ? chosen.macros.map((m) => ({ ...own.get(m.name), written: m.written })).filter((m) => m.name)
    : setup.macros
  const open = sharedBeginning(macros.map((m) => m.written))
  const close = reverse(sharedBeginning(macros.map((m) => reverse(m.written))))
  return { open, close, macros, signature: macros.find((m) => m.name === 'signature')?.written ?? '{signature}' }
}

const reverse = (text) => [...text].reverse().join('')

/** sharedBeginning is the signs, not letters, with which all texts begin. */
function sharedBeginning(texts) {
  let n = 0
  while (texts.length > 0 && texts.every((text) => text[n] === texts[0][n]) && /[^\w.]|_/.test(texts[0][n] ?? 'x')) n++
  return texts.length > 0 ? texts[0].slice(0, n) : '{'
}

/** inner is what stands between the delimiters. */
const inner = (written, { open, close }) => written.slice(open.length, written.length - close.length)

/**
 * completing says which macro is being written before the caret: where it begins, and those that it can become, best first.
 * It is undefined when none is.
 */
export function completing(text, caret, known) {
  const before = text.slice(0, caret)
  const from = before.lastIndexOf(known.open)
  if (from < 0) return undefined
  // Where a macro ends with what another begins with, as in %name%, a whole one begins none.
  if (known.macros.some((m) => before.endsWith(m.written))) return undefined
  const typed = before.slice(from + known.open.length).toLowerCase()
  if (!/^[\w.]*$/.test(typed)) return undefined
  // In a dialect of percent signs, %2F is a character.
  if (known.open.includes('%') && /^[0-9a-f]{2}$/.test(typed)) return undefined
  const rank = (m) => {
    const name = inner(m.written, known).toLowerCase()
    if (name.startsWith(typed)) return 0
    if (name.includes(typed) || m.name.includes(typed)) return 1
    return typed.length > 2 && m.meaning.toLowerCase().includes(typed) ? 2 : -1
  }
  const fits = known.macros.map((m) => [rank(m), m]).filter(([r]) => r >= 0).sort(([a], [b]) => a - b).map(([, m]) => m)
  return fits.length > 0 ? { from, fits } : undefined
}

/** parameterOf is the name under which a macro is put into a query. */
const parameterOf = (macro) => (macro.name === 'signature' ? 'sig' : macro.name.replace(/^field\./, ''))

/** addParameter adds a parameter to a URL: before its signature, which has to stay the last one. */
export function addParameter(url, name, value, signature) {
  const added = `${name}=${value}`
  const last = Math.max(url.lastIndexOf('&'), url.lastIndexOf('?'))
  if (value !== signature && last >= 0 && url.endsWith('=' + signature)) return `${url.slice(0, last + 1)}${added}&${url.slice(last + 1)}`
  const sign = !url.includes('?') ? '?' : /[?&]$/.test(url) ? '' : '&'
  return url + sign + added
}

/** signatureParameter is the name of the parameter that holds the signature in a template. */
export function signatureParameter(url, written) {
  const at = url.indexOf('=' + written)
  return at < 0 ? 'sig' : url.slice(0, at).split(/[?&]/).pop()
}

/**
 * insertion is what a click on a macro makes of a text: the macro at the caret, or a parameter of its name at the end of a URL that
 * waits for none. It returns the new text and caret.
 */
export function insertion(text, start, end, macro, known, isURL) {
  if (isURL && start === text.length && /^https?:\/\/./i.test(text) && !/[=/]$/.test(text)) {
    const added = addParameter(text, parameterOf(macro), macro.written, known.signature)
    return { text: added, caret: added.length }
  }
  return { text: text.slice(0, start) + macro.written + text.slice(end), caret: start + macro.written.length }
}

/** pieces cuts a template into macros and what stands between them; the value of a whole constant parameter is a piece. */
function pieces(template, uses) {
  const list = []
  const literal = (text) => {
    for (const part of text.split(/(?<==)(?=[^&])|(?=&)/)) if (part) list.push({ text: part })
  }
  const byLength = [...uses].sort((a, b) => b.written.length - a.written.length)
  let from = 0
  for (let at = 0; at < template.length; ) {
    const use = byLength.find((u) => u.written && template.startsWith(u.written, at))
    if (!use) {
      at++
      continue
    }
    literal(template.slice(from, at))
    list.push({ macro: use })
    from = at += use.written.length
  }
  literal(template.slice(from))
  return list
}

const masked = '***'

/**
 * highlighted finds the values of macros in a rendered URL. It returns its parts in order, each a text, and for a value the name of
 * its macro; what is masked says so. When the two do not fit together, all is one part.
 */
export function highlighted(template, rendered, uses) {
  const list = pieces(template, uses)
  const parts = []
  const whole = [{ text: rendered }]
  let at = 0
  for (const [i, piece] of list.entries()) {
    if (!piece.macro) {
      const hidden = !rendered.startsWith(piece.text, at) && rendered.startsWith(masked, at)
      const text = hidden ? masked : piece.text
      if (!rendered.startsWith(text, at)) return whole
      parts.push(hidden ? { text, masked: true } : { text })
      at += text.length
      continue
    }
    const next = list[i + 1]
    const sample = encodeURIComponent(piece.macro.sample)
    const fits = (end) => (!next ? end === rendered.length : next.macro || rendered.startsWith(next.text, end) || rendered.startsWith(masked, end))
    let end = at + sample.length
    if (!rendered.startsWith(sample, at) || !fits(end)) end = !next || next.macro ? rendered.length : rendered.indexOf(next.text, at)
    if (end < 0) return whole
    parts.push({ text: rendered.slice(at, end), macro: piece.macro.name })
    at = end
  }
  return at === rendered.length ? parts : whole
}
