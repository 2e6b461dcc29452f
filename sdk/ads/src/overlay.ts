// The ad over the page: a modal dialog in a closed shadow tree, which leaves the page as it was.

import { type Ad, fillFrame, loadImage, makeFrame, webURL } from './creative.js'
import { webApp } from './telegram.js'

export interface Overlay {
  /** The creative's box, for measuring. */
  box: HTMLElement
  /** Takes the ad off the page, at once. */
  close(): void
}

/** Events are what the overlay reports. */
export interface Events {
  clicked(event: MouseEvent): void
  closed(): void
}

// Telegram's script keeps the insets of its own bars in variables of the page. The page's colours come by --carom-*, see tint.
const inset = (side: string) =>
  `calc(max(env(safe-area-inset-${side},0px),var(--tg-safe-area-inset-${side},0px)) + var(--tg-content-safe-area-inset-${side},0px))`

const styles = `
:host{all:initial!important;position:fixed!important;top:0!important;left:0!important;width:100%!important;height:100%!important;
display:block!important;z-index:2147483647!important;--bg:var(--carom-bg,#fff);--fg:var(--carom-fg,#1b1d21)}
:host(.loading){visibility:hidden!important;pointer-events:none!important}
@media(prefers-color-scheme:dark){:host{--bg:var(--carom-bg,#16181c);--fg:var(--carom-fg,#f3f4f6)}}
*,::before,::after{box-sizing:border-box}
*{margin:0}
.ad{position:absolute;top:0;left:0;width:100%;height:100%;display:flex;flex-direction:column;outline:0;overscroll-behavior:contain;
background:var(--bg);color:var(--fg);font:500 14px/1.2 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;
padding:${inset('top')} ${inset('right')} ${inset('bottom')} ${inset('left')};-webkit-user-select:none;user-select:none}
:host(:not(.loading)) .ad{animation:appear .16s ease-out}
@keyframes appear{from{opacity:0}}
.bar{display:flex;align-items:center;justify-content:space-between;flex:none;padding:6px 6px 6px 16px}
.label{padding:4px 8px;border:1px solid;border-radius:6px;font-size:12px;letter-spacing:.03em;opacity:.75}
.close{position:relative;width:44px;height:44px;padding:0;border:0;background:none;color:inherit;font:inherit;font-weight:600;
font-variant-numeric:tabular-nums;cursor:pointer;-webkit-tap-highlight-color:transparent}
.close[aria-disabled]{cursor:default}
.close::before{content:"";position:absolute;top:6px;left:6px;width:32px;height:32px;border-radius:50%;background:currentColor;opacity:.1}
.close[aria-disabled]::before{background:none;border:2px solid;opacity:.35}
.close:not([aria-disabled]):hover::before{opacity:.2}
.cross::before,.cross::after{content:"";position:absolute;left:15px;top:21px;width:14px;height:2px;border-radius:1px;
background:currentColor;transform:rotate(45deg)}
.cross::after{transform:rotate(-45deg)}
.stage{position:relative;flex:1;min-height:0;margin:0 8px 8px}
.box{position:absolute;left:50%;top:50%;transform:translate(-50%,-50%);overflow:hidden;border-radius:12px}
.box>*{position:absolute;top:0;left:0;width:100%;height:100%;border:0}
img{width:100%;height:100%;display:block;object-fit:contain}
iframe{transform-origin:0 0;background:#fff}
:focus:not(:focus-visible){outline:0}
:focus-visible{outline:3px solid var(--carom-accent,#2f7df6);outline-offset:-3px}
.close:focus-visible{border-radius:50%}
.box>:focus-visible{z-index:1;border-radius:12px}
.quiet{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
@media(prefers-reduced-motion:reduce){:host(:not(.loading)) .ad{animation:none}}
`

// Creatives are made for phones: on a large screen they grow up to this.
const maxScale = 1.6

// What the page is not told of.
const kept = 'keydown keyup keypress click auxclick mousedown mouseup pointerdown pointerup touchstart touchend'

const make = <K extends keyof HTMLElementTagNameMap>(tag: K, className: string, parent?: Node) => {
  const element = document.createElement(tag)
  element.className = className
  parent?.appendChild(element)
  return element
}

/** addStyles makes the styles of the tree. A strict content policy lets in those that a script constructs. */
const addStyles = (root: ShadowRoot) => {
  try {
    const sheet = new CSSStyleSheet()
    sheet.replaceSync(styles)
    root.adoptedStyleSheets = [sheet]
  } catch {
    make('style', '', root).textContent = styles // Safari before 16.4
  }
}

/** tint takes over the colours of Telegram's theme, which the user sees around the page. */
const tint = ({ style }: HTMLElement) => {
  const { bg_color, text_color, button_color } = webApp()?.themeParams || {}
  for (const [name, colour] of Object.entries({ bg: bg_color, fg: text_color, accent: button_color })) {
    if (colour) style.setProperty('--carom-' + name, colour)
  }
}

/** place returns the element of the page that the ad goes into: an open modal dialog, since all outside is out of reach. */
const place = (): Element => {
  const page = document.body || document.documentElement
  try {
    const dialogs = document.querySelectorAll('dialog:modal')
    return dialogs[dialogs.length - 1] || page
  } catch {
    return page // browsers before 2022 do not know the selector
  }
}

/** disable puts all but the host out of reach, keeps the page from scrolling, and returns what undoes it. */
const disable = (host: HTMLElement) => {
  const undo: (() => void)[] = []
  for (let node: Element = host; node.parentElement && node != document.body; node = node.parentElement) {
    for (const other of node.parentElement.children) {
      if (other != node && !other.hasAttribute('inert')) {
        other.setAttribute('inert', '')
        undo.push(() => other.removeAttribute('inert'))
      }
    }
  }
  const page = document.documentElement
  const set = (name: string, value: string) => {
    const before = [page.style.getPropertyValue(name), page.style.getPropertyPriority(name)]
    page.style.setProperty(name, value, 'important')
    undo.push(() => page.style.setProperty(name, before[0], before[1]))
  }
  // Where the scroll bar takes up room, the room stays, and nothing moves.
  if (window.innerWidth > page.clientWidth) set('scrollbar-gutter', 'stable')
  set('overflow', 'hidden')
  return () => undo.forEach((act) => act())
}

/**
 * openOverlay loads the ad and shows it over the page, and returns nothing if it cannot be had: what the user sees is never
 * a page that waits. A rewarded ad can be closed after close_after_ms, any other at once. An image may have been loaded before.
 */
export const openOverlay = async (
  ad: Ad,
  server: string,
  rewarded: boolean,
  loaded: HTMLImageElement | undefined,
  { clicked, closed }: Events,
): Promise<Overlay | undefined> => {
  const host = document.createElement('div')
  const root = host.attachShadow({ mode: 'closed' })
  addStyles(root)
  tint(host)
  host.className = 'loading'
  host.popover = 'manual'

  const dialog = make('div', 'ad', root)
  dialog.setAttribute('role', 'dialog')
  dialog.setAttribute('aria-modal', 'true')
  dialog.setAttribute('aria-label', 'Advertisement')
  dialog.lang = 'en'
  dialog.dir = 'ltr'
  dialog.tabIndex = -1
  const bar = make('div', 'bar', dialog)
  make('span', 'label', bar).textContent = 'Ad'
  const close = make('button', 'close', bar)
  close.type = 'button'
  const box = make('div', 'box', make('div', 'stage', dialog))
  box.lang = ''
  const note = make('div', 'quiet', dialog)
  note.setAttribute('role', 'status')

  // The creative lies below the link. Without a link there is something all the same, so that nobody gets into the frame.
  const frame = ad.image ? undefined : makeFrame(ad, server)
  const url = webURL(ad.landing_url)
  const cover = make(url ? 'a' : 'div', 'cover')
  let shape = [ad.width, ad.height]
  if (frame) {
    box.appendChild(frame)
    place().appendChild(host)
    if (!(await fillFrame(frame, ad.html || ''))) return void host.remove()
    if (url) cover.setAttribute('aria-label', frame.title)
  } else {
    const image = loaded || (await loadImage(ad))
    if (!image) return
    if (!shape[0] || !shape[1]) shape = [image.naturalWidth, image.naturalHeight]
    cover.appendChild(image)
    place().appendChild(host)
  }
  box.appendChild(cover)
  if (url) {
    const link = cover as HTMLAnchorElement
    link.href = url
    link.target = '_blank'
    link.rel = 'noopener noreferrer'
    link.addEventListener('click', clicked)
    link.addEventListener('auxclick', (event) => event.button == 1 && clicked(event))
  }

  const fit = () => {
    const { clientWidth, clientHeight } = box.parentElement!
    const [width, height] = shape[0] && shape[1] ? (shape as number[]) : [clientWidth, clientHeight]
    const scale = Math.min(clientWidth / width, clientHeight / height, maxScale)
    box.style.width = width * scale + 'px'
    box.style.height = height * scale + 'px'
    if (frame) {
      frame.style.width = width + 'px'
      frame.style.height = height + 'px'
      frame.style.transform = `scale(${scale})`
    }
  }

  const focused = document.activeElement as HTMLElement | null
  const openAt = performance.now() + (rewarded ? ad.close_after_ms || 0 : 0)
  let timer: ReturnType<typeof setTimeout>
  let enable: (() => void) | undefined
  let open = true

  const count = () => {
    const leftMs = openAt - performance.now()
    if (leftMs > 0) {
      const seconds = Math.ceil(leftMs / 1000)
      const words = `${seconds} second${seconds > 1 ? 's' : ''}`
      if (!note.textContent) note.textContent = `Advertisement. You can close it in ${words}.`
      close.textContent = '' + seconds
      close.setAttribute('aria-label', 'Close ad in ' + words)
      close.setAttribute('aria-disabled', 'true')
      timer = setTimeout(count, Math.ceil(leftMs - (seconds - 1) * 1000))
      return
    }
    if (note.textContent) note.textContent = 'You can close the ad now.'
    close.textContent = ''
    make('span', 'cross', close)
    close.setAttribute('aria-label', 'Close ad')
    close.removeAttribute('aria-disabled')
  }
  const closable = () => performance.now() >= openAt

  // The page's own keys, such as those of a game, are not meant while the ad is there.
  const key = (event: KeyboardEvent) => {
    const { activeElement } = root
    if (event.key == 'Escape') {
      event.preventDefault()
      event.stopImmediatePropagation()
      if (closable()) end()
    } else if (event.key == 'Tab') {
      event.preventDefault()
      const stops: HTMLElement[] = url ? [close, cover] : [close]
      const at = stops.indexOf(activeElement as HTMLElement)
      stops[(at < 0 ? (event.shiftKey ? stops.length - 1 : 0) : at + (event.shiftKey ? stops.length - 1 : 1)) % stops.length].focus()
    } else if (/^(Arrow|Page|Home|End)/.test(event.key)) {
      event.preventDefault()
    }
    if (!activeElement) event.stopImmediatePropagation()
  }
  const stay = (event: Event) => event.cancelable && event.preventDefault()
  const keep = () => {
    if (document.activeElement != host) dialog.focus()
  }

  const end = () => {
    if (!open) return
    open = false
    clearTimeout(timer)
    removed.disconnect()
    window.removeEventListener('keydown', key, true)
    window.removeEventListener('resize', fit)
    document.removeEventListener('focusin', keep)
    host.remove()
    enable?.()
    if (focused?.isConnected) focused.focus({ preventScroll: true })
    closed()
  }
  // A page that throws its content away takes the ad with it.
  const removed = new MutationObserver(() => host.isConnected || end())

  close.addEventListener('click', () => closable() && end())
  for (const type of ['wheel', 'touchmove']) host.addEventListener(type, stay, { passive: false })
  for (const type of kept.split(' ')) host.addEventListener(type, (event) => event.stopPropagation())
  window.addEventListener('keydown', key, true)
  window.addEventListener('resize', fit)
  document.addEventListener('focusin', keep)
  removed.observe(document.documentElement, { childList: true, subtree: true })

  host.showPopover?.()
  fit()
  host.className = ''
  enable = disable(host)
  count()
  close.focus({ preventScroll: true })
  return { box, close: end }
}
