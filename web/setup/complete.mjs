// Completion of macros while somebody types: a combobox as the ARIA practices describe it. The focus stays in the text, the list is
// pointed at.

import { h, say } from './dom.mjs'
import { completing } from './macros.mjs'

const shown = 8

/** replace puts text between two places, so that the browser's own undo knows of it. */
export function replace(box, start, end, text) {
  box.focus()
  box.setSelectionRange(start, end)
  if (document.execCommand('insertText', false, text)) return
  box.setRangeText(text, start, end, 'end')
  box.dispatchEvent(new Event('input', { bubbles: true }))
}

/** completes makes a text area complete macros. known returns how they are written now. */
export function completes(box, list, known) {
  let found, chosen

  const close = () => {
    found = undefined
    list.hidden = true
    list.replaceChildren()
    box.setAttribute('aria-expanded', 'false')
    box.removeAttribute('aria-activedescendant')
  }
  const choose = (i) => {
    chosen = (i + found.fits.length) % found.fits.length
    for (const [k, option] of [...list.children].entries()) option.setAttribute('aria-selected', String(k === chosen))
    box.setAttribute('aria-activedescendant', list.children[chosen].id)
    list.children[chosen].scrollIntoView({ block: 'nearest' })
  }
  const accept = (i) => {
    const { from, fits } = found
    const macro = fits[i]
    const rest = box.value.slice(box.selectionEnd)
    const { close: closing } = known()
    const end = box.selectionEnd + (rest.startsWith(closing) ? closing.length : 0)
    close()
    replace(box, from, end, macro.written)
    close() // the browser reports what was put in, which may look like the beginning of another
    say(`${macro.written} is in`)
  }
  const look = () => {
    found = box.selectionStart === box.selectionEnd ? completing(box.value, box.selectionStart, known()) : undefined
    if (!found) {
      close()
      return
    }
    found.fits = found.fits.slice(0, shown)
    list.replaceChildren(...found.fits.map((m, i) =>
      h('li', { role: 'option', id: `${list.id}-${i}`, 'aria-selected': 'false', onmousedown: (e) => e.preventDefault(), onclick: () => accept(i) },
        h('code', {}, m.written), ' ', h('span', {}, m.meaning))))
    list.hidden = false
    box.setAttribute('aria-expanded', 'true')
    choose(0)
  }

  box.addEventListener('input', look)
  box.addEventListener('blur', close)
  box.addEventListener('click', close)
  box.addEventListener('keydown', (e) => {
    if (e.isComposing || !found) return
    const keys = {
      ArrowDown: () => choose(chosen + 1),
      ArrowUp: () => choose(chosen - 1),
      Enter: () => accept(chosen),
      Tab: () => accept(chosen),
      Escape: close,
    }
    if (!keys[e.key] || (e.key === 'Tab' && e.shiftKey)) {
      if (['ArrowLeft', 'ArrowRight', 'Home', 'End'].includes(e.key)) close()
      return
    }
    e.preventDefault()
    e.stopPropagation()
    keys[e.key]()
  })
}
