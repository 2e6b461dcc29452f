// One ad that is shown: over the page, or in a window of its own. What the server is told of it, and what it decides.

import type { Ad } from './creative.js'
import { CaromAdError } from './error.js'
import { type Answer, type Kind, type Measure, openOutbox } from './outbox.js'
import { openOverlay } from './overlay.js'
import { linkOpener } from './telegram.js'
import { pageVisible, watch } from './watch.js'

/** Report sends the beacons of a showing and knows what the server has decided. */
export interface Report {
  send(kind: Kind, measure: Measure): void
  /** The latest answer that says whether the view is valued. */
  answer(): Answer | undefined
  /** Settles when the server has decided, and rejects when it cannot be reached or refuses. */
  decided: Promise<void>
}

/** openReport begins the report of one ad. `brief` ends it as soon as the server has decided. */
const openReport = (server: string, ad: Ad, brief: boolean, leaving: () => void): Report => {
  let answer: Answer | undefined
  let send!: Report['send']
  const decided = new Promise<void>((resolve, reject) => {
    send = openOutbox(
      server + 'sdk/beacon',
      ad.token,
      ad.viewable_ms || 0,
      (kind, said) => {
        // What is said to a click is not about the view.
        if (kind != 'click' && said.state != 'open') answer = said
        const last = kind == 'end'
        // Whatever the server leaves open at the end is not valued.
        if (answer || last) resolve()
        return last || (brief && !!answer)
      },
      (why) => {
        console.warn(`carom: ${why.message}`)
        reject(why)
      },
      leaving,
    )
  })
  decided.catch(() => {}) // whoever does not wait for it does not hear of it
  return { send, answer: () => answer, decided }
}

/** Showing is an ad over the page. */
export interface Showing {
  /** Settles when the first of it can be seen. */
  begun: Promise<Report>
  /** Settles when it is gone, with nothing if it never began. */
  closed: Promise<Report | undefined>
}

/** showOver shows an ad over the page. It returns nothing if the creative cannot be had. */
export const showOver = async (
  server: string,
  ad: Ad,
  rewarded: boolean,
  image?: HTMLImageElement,
): Promise<Showing | undefined> => {
  let begin!: (report: Report) => void
  let close!: (report?: Report) => void
  const begun = new Promise<Report>((resolve) => (begin = resolve))
  const closed = new Promise<Report | undefined>((resolve) => (close = resolve))
  let report: Report | undefined
  let hasClicked = false

  const overlay = await openOverlay(ad, server, rewarded, image, {
    clicked(event) {
      const openLink = linkOpener()
      if (openLink) {
        event.preventDefault()
        openLink((event.currentTarget as HTMLAnchorElement).href)
      }
      if (!hasClicked) report?.send('click', { ...seen.measure(), trusted: event.isTrusted })
      hasClicked = true
    },
    closed() {
      report?.send('end', seen.measure())
      seen.stop()
      close(report)
    },
  })
  if (!overlay) return
  const seen = watch(
    overlay.box,
    ad.viewable_ms || 0,
    () => {
      // Leaving the page ends the ad.
      report = openReport(server, ad, false, overlay.close)
      report.send('start', seen.measure())
      begin(report)
    },
    () => report?.send('viewable', seen.measure()),
  )
  return { begun, closed }
}

/** isVisible says whether an empty window can be seen, or else this page can. */
const isVisible = (popup: Window | null) => {
  try {
    return popup!.document.visibilityState == 'visible'
  } catch {
    return pageVisible() // there is none, or it shows another page by now
  }
}

/** Popup is a window that waits for its ad. */
export interface Popup {
  close(): void
  /**
   * Shows the ad's page. What a page on another host does cannot be seen: it counts as visible as long as the user has not
   * closed the window and come back to this page.
   */
  show(server: string, ad: Ad, url: string): Report
}

/** openPopup opens the window for an ad. It has to be called before the user's tap is over, so before there is an ad. */
export const openPopup = (): Popup => {
  const openLink = linkOpener()
  const popup = openLink ? null : window.open('about:blank', '_blank')
  if (!openLink && (!popup || popup.closed)) {
    throw new CaromAdError('popup_blocked', 'the browser did not open the window: call it within a tap or a key press')
  }
  return {
    close: () => popup?.close(),
    show(server, ad, url) {
      if (popup?.closed) throw new CaromAdError('popup_blocked', 'the window was closed before the ad came')
      const visible = isVisible(popup)
      if (popup) {
        popup.opener = null
        popup.location.replace(url)
      } else {
        openLink!(url)
      }
      const begunAt = performance.now()
      const measure = (): Measure => {
        const ms = Math.floor(performance.now() - begunAt)
        return { shown_ms: ms, visible_ms: ms, share: 100, visible }
      }
      const report = openReport(server, ad, true, () => {})
      report.send('start', measure())
      if (ad.viewable_ms) {
        // Timers may be early by a part of a millisecond.
        setTimeout(() => report.send(popup?.closed && pageVisible() ? 'end' : 'viewable', measure()), ad.viewable_ms + 10)
      }
      return report
    },
  }
}
