// How long an ad is shown, and how long it can be seen.

import type { Measure } from './outbox.js'

export const pageVisible = () => document.visibilityState == 'visible'

/**
 * watch measures an element from the moment when the browser has laid it out in a frame, which is when `begun` is called.
 * `viewable` is called once at least half of it could be seen for viewableMs without a break, in a visible page. It returns
 * what was measured, and a function that ends it.
 */
export const watch = (element: Element, viewableMs: number, begun: () => void, viewable: () => void) => {
  let begunAt: number | undefined
  let share = 0
  let seen = false // at least half of it is within the screen
  let since: number | undefined // when it became visible; undefined while it is not
  let totalMs = 0
  let timer: ReturnType<typeof setTimeout>

  const update = () => {
    const now = performance.now()
    const visible = seen && pageVisible()
    if (visible == (since !== undefined)) return
    clearTimeout(timer)
    if (visible) {
      since = now
      const check = () => {
        // Timers may be early by a part of a millisecond.
        const leftMs = now + viewableMs - performance.now()
        if (leftMs > 0) timer = setTimeout(check, Math.ceil(leftMs))
        else {
          viewableMs = 0
          viewable()
        }
      }
      if (viewableMs) check()
    } else {
      totalMs += now - since!
      since = undefined
    }
  }

  const observer = new IntersectionObserver(
    (entries) => {
      const { intersectionRatio } = entries[entries.length - 1]
      share = Math.max(share, intersectionRatio)
      seen = intersectionRatio >= 0.5
      if (begunAt === undefined) {
        begunAt = performance.now()
        begun()
      }
      update()
    },
    { threshold: [0, 0.25, 0.5, 0.75, 1] },
  )
  observer.observe(element)
  document.addEventListener('visibilitychange', update)

  return {
    measure: (): Measure => {
      const now = performance.now()
      return {
        shown_ms: Math.floor(now - (begunAt ?? now)),
        visible_ms: Math.floor(totalMs + now - (since ?? now)),
        share: Math.min(100, Math.round(share * 100)),
        visible: pageVisible(),
      }
    },
    stop() {
      observer.disconnect()
      document.removeEventListener('visibilitychange', update)
      clearTimeout(timer)
    },
  }
}
