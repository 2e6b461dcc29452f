// Making elements. Much of what this page shows was written by strangers: the ymid of an event, the answer of a server. All of it goes
// through here, and becomes text.

const svg = 'http://www.w3.org/2000/svg'

/** $ finds an element of the page by its id. */
export const $ = (id) => document.getElementById(id)

/** h makes an element. A child that is no element becomes a text; what is null, false or '' is left out. */
export function h(tag, attributes = {}, ...children) {
  const el = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) el.addEventListener(name.slice(2), value)
    else if (typeof value === 'boolean') el.toggleAttribute(name, value)
    else if (value != null) el.setAttribute(name, value)
  }
  el.append(...children.flat().filter((child) => child != null && child !== false && child !== ''))
  return el
}

/** shape draws one of the page's shapes. It is for the eye alone: a word stands beside it. */
export function shape(name) {
  const el = document.createElementNS(svg, 'svg')
  el.setAttribute('class', `shape ${name}`)
  el.setAttribute('aria-hidden', 'true')
  const use = document.createElementNS(svg, 'use')
  use.setAttribute('href', `#shape-${name}`)
  el.append(use)
  return el
}

/** sentence writes what the API says with a capital letter and a full stop. */
export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? '' : '.')

/** problem shows what is wrong, by shape, word and colour. */
export const problem = (level, text, ...more) =>
  h('li', { class: `problem ${level}` }, shape(level), h('span', {}, h('strong', {}, level === 'fault' ? 'Fault: ' : 'Warning: '), text), more)

/** tell shows an outcome in a place of its own, which is read out: good, or bad. */
export function tell(place, text, bad = false) {
  place.classList.toggle('bad', bad)
  place.replaceChildren(...(text ? [bad ? shape('fault') : shape('delivered'), h('span', {}, text)] : []))
}

/** say has a text read out, and shows nothing. */
export function say(text) {
  $('said').textContent = text
}

/** time shows a moment where the reader is. */
export function time(text) {
  const at = new Date(text)
  return h('time', { datetime: text, title: text }, new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' }).format(at))
}

/** took writes how long something took. */
export const took = (ms) => (ms < 1000 ? `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`)

/** copyButton copies what text returns, and says so on itself. */
export function copyButton(label, text) {
  let back
  const button = h('button', {
    type: 'button',
    class: 'small',
    onclick: async () => {
      const done = await copy(text())
      button.textContent = done ? 'Copied' : 'Copy it by hand'
      say(done ? 'Copied' : 'The browser did not let this page copy: mark the text and copy it by hand')
      clearTimeout(back)
      back = setTimeout(() => (button.textContent = label), 3000)
    },
  }, label)
  return button
}

async function copy(text) {
  // The way of old comes first: it works over http, and in a frame that may not use the clipboard by itself.
  const held = document.activeElement
  const box = h('textarea', { class: 'unseen', readonly: true, 'aria-hidden': 'true', tabindex: '-1' })
  box.value = text
  document.body.append(box)
  box.select()
  const done = document.execCommand('copy')
  box.remove()
  held?.focus({ preventScroll: true })
  if (done) return true
  try {
    await navigator.clipboard.writeText(text)
    return true
  } catch {
    return false
  }
}

/** code shows text as it is, with a button that copies it. */
export const code = (text, label = 'Copy') => h('div', { class: 'code' }, h('pre', { tabindex: '0' }, h('code', {}, text)), copyButton(label, () => text))

/** once keeps a button from being pressed again while its work is under way. It stays where the keyboard is. */
export async function once(button, work) {
  if (button.getAttribute('aria-disabled') === 'true') return
  button.setAttribute('aria-disabled', 'true')
  try {
    await work()
  } finally {
    button.removeAttribute('aria-disabled')
  }
}

/** words splits what somebody writes between commas, spaces or lines. */
export const words = (text) => text.split(/[\s,]+/).filter(Boolean)
