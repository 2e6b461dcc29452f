import { Combobox, Text, Textarea, type TextareaProps, useCombobox } from '@mantine/core'
import { type KeyboardEvent, useEffect, useRef, useState } from 'react'
import { completing, type Macro, type Notation } from './macros'

const shown = 8

/**
 * TemplateInput is a text area that completes macros at the caret: the list opens when the sign that begins one is typed, arrows choose, Enter and
 * Tab put in, Escape closes. The focus stays in the text.
 */
export function TemplateInput({ value, onChange, known, line, ...rest }: Omit<TextareaProps, 'onChange' | 'value'> & {
  value?: string
  onChange?: (value: string) => void
  known: Notation
  /** line is set of a text without line ends, such as a URL. */
  line?: boolean
}) {
  const box = useRef<HTMLTextAreaElement>(null)
  const anchor = useRef<HTMLDivElement>(null)
  const list = useRef<HTMLDivElement>(null)
  const [found, setFound] = useState<{ from: number; fits: Macro[] }>()
  const typed = useRef(false) // the last that was done here
  const combobox = useCombobox({
    onDropdownClose: () => {
      combobox.resetSelectedOption()
      box.current?.removeAttribute('aria-activedescendant')
    },
  })

  // The macros may come when one is half written.
  useEffect(() => {
    if (typed.current) look()
  }, [known])

  function look() {
    const el = box.current
    if (!el) return
    typed.current = true
    const now = el.selectionStart === el.selectionEnd ? completing(el.value, el.selectionStart, known) : undefined
    setFound(now && { ...now, fits: now.fits.slice(0, shown) })
    if (!now) {
      combobox.closeDropdown()
      return
    }
    if (anchor.current) place(anchor.current, el, now.from)
    combobox.openDropdown()
  }

  // Which option is chosen is told to those who hear the page. The library does so for arrows alone, not for what is chosen as one types.
  function point() {
    const chosen = list.current?.querySelector('[data-combobox-selected]')
    if (chosen) box.current?.setAttribute('aria-activedescendant', chosen.id)
  }

  function put(name: string) {
    const el = box.current
    const macro = found?.fits.find((m) => m.name === name)
    combobox.closeDropdown()
    if (!el || !found || !macro) return
    const rest = el.value.slice(el.selectionEnd)
    const end = el.selectionEnd + (known.close && rest.startsWith(known.close) ? known.close.length : 0)
    el.focus()
    el.setSelectionRange(found.from, end)
    // Put in as if it had been typed, so that the browser's own undo knows of it.
    if (!document.execCommand('insertText', false, macro.written)) {
      el.setRangeText(macro.written, found.from, end, 'end')
      onChange?.(el.value)
    }
    setFound(undefined)
    combobox.closeDropdown()
  }

  function leave() {
    typed.current = false
    combobox.closeDropdown()
  }

  function onKeyDown(event: KeyboardEvent<HTMLTextAreaElement>) {
    typed.current = false
    if (!combobox.dropdownOpened) {
      if (line && event.key === 'Enter') {
        event.preventDefault()
        event.currentTarget.form?.requestSubmit()
      }
      // An arrow moves the caret while no list is open: it does not open one.
      if (event.key.startsWith('Arrow')) event.nativeEvent.stopImmediatePropagation()
      return
    }
    if (event.key === 'Tab' && !event.shiftKey && combobox.getSelectedOptionIndex() !== -1) {
      event.preventDefault()
      combobox.clickSelectedOption()
    }
    if (['ArrowUp', 'ArrowDown'].includes(event.key)) requestAnimationFrame(point)
    if (['ArrowLeft', 'ArrowRight', 'Home', 'End'].includes(event.key)) combobox.closeDropdown()
  }

  return (
    <Combobox store={combobox} onOptionSubmit={put} width={320} position="bottom-start" withinPortal>
      <div style={{ position: 'relative' }}>
        <Combobox.DropdownTarget>
          <div ref={anchor} aria-hidden style={{ position: 'absolute', width: 1, height: 1, pointerEvents: 'none' }} />
        </Combobox.DropdownTarget>
        <Combobox.EventsTarget withExpandedAttribute withKeyboardNavigation={combobox.dropdownOpened} autoComplete="off">
          <Textarea
            {...rest} ref={box} value={value ?? ''} classNames={{ input: 'mono' }} spellCheck={false} autoCapitalize="none" autoCorrect="off" onKeyDown={onKeyDown}
            onChange={(e) => {
              onChange?.(line ? e.currentTarget.value.replace(/[\r\n]+/g, '') : e.currentTarget.value)
              look()
            }}
            onBlur={(e) => {
              leave()
              rest.onBlur?.(e)
            }}
            onClick={leave}
          />
        </Combobox.EventsTarget>
      </div>
      <Combobox.Dropdown>
        <Combobox.Options aria-label="Macros" ref={list}>
          {found?.fits.map((m) => (
            <Combobox.Option key={m.name} value={m.name}>
              <Text size="sm" className="mono">
                {m.written}
              </Text>
              <Text size="xs" truncate>
                {m.meaning}
              </Text>
            </Combobox.Option>
          ))}
        </Combobox.Options>
        <Drawn
          what={found}
          then={() => {
            combobox.selectFirstOption()
            point()
          }}
        />
      </Combobox.Dropdown>
    </Combobox>
  )
}

/**
 * Drawn calls then whenever what was drawn before it has changed. It stands behind the options, so that the first one is chosen before any other
 * key is taken: whoever types fast and presses Enter gets what the text says by then.
 */
function Drawn({ what, then }: { what: unknown; then: () => void }) {
  const latest = useRef(then)
  latest.current = then
  useEffect(() => latest.current(), [what])
  return null
}

/**
 * place puts an element where a character of a text area is. A text area does not tell, so the text before it is laid out once more in a box of the
 * same measures.
 */
function place(anchor: HTMLElement, area: HTMLTextAreaElement, at: number) {
  const style = getComputedStyle(area)
  const twin = document.createElement('div')
  for (const name of ['fontFamily', 'fontSize', 'fontWeight', 'lineHeight', 'letterSpacing', 'padding', 'border', 'boxSizing', 'wordBreak', 'tabSize'] as const) {
    twin.style[name] = style[name]
  }
  Object.assign(twin.style, { position: 'absolute', visibility: 'hidden', whiteSpace: 'pre-wrap', overflowWrap: 'anywhere', width: `${area.offsetWidth}px` })
  twin.textContent = area.value.slice(0, at)
  const mark = document.createElement('span')
  mark.textContent = '|'
  twin.append(mark)
  document.body.append(twin)
  const parent = anchor.parentElement!.getBoundingClientRect()
  const box = area.getBoundingClientRect()
  anchor.style.left = `${box.left - parent.left + mark.offsetLeft}px`
  anchor.style.top = `${box.top - parent.top + mark.offsetTop + mark.offsetHeight - area.scrollTop}px`
  twin.remove()
}
