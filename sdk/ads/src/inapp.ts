// Ads that come by themselves, as often as the settings allow.

import type { CaromAdError } from './error.js'
import type { Asked } from './options.js'
import { sleep } from './request.js'
import { pageVisible } from './watch.js'

/** Log keeps when ads began, and when the last one was over, in milliseconds of the clock on the wall. */
interface Log {
  begun: number[]
  over: number
}

/** openLog keeps the log for as long as the tab lives; where that is not possible or not wanted, as long as the page does. */
const openLog = (zone: string, everyPage: boolean) => {
  const key = 'carom.inapp ' + zone
  let log: Log = { begun: [], over: 0 }
  return {
    read(): Log {
      try {
        const kept = !everyPage && JSON.parse(sessionStorage.getItem(key)!)
        if (Array.isArray(kept?.begun)) log = { begun: kept.begun, over: +kept.over || 0 }
      } catch {
        // A browser may refuse the storage, and others may write there.
      }
      return log
    },
    write(changed: Log) {
      log = changed
      try {
        if (!everyPage) sessionStorage.setItem(key, JSON.stringify(log))
      } catch {
        // The log of the page has it.
      }
    },
  }
}

// What is in the way, such as another ad, is looked at again after this.
const lookMs = 1000

/** Outcome says whether an ad was shown, there was none, or another was in the way. */
export type Outcome = 'shown' | 'none' | 'busy'

/**
 * startInApp shows ads until the function that it returns is called. `show` shows one and settles when it is gone, and calls
 * what it is given when it begins. An error that another try cannot mend ends it.
 */
export const startInApp = (
  zone: string,
  { frequency, cappingMs, intervalMs, timeoutMs, everyPage }: Asked['inApp'],
  show: (begun: () => void) => Promise<Outcome>,
) => {
  let stopped = false
  const log = openLog(zone, everyPage)
  const first = Date.now() + timeoutMs
  const most = Math.floor(frequency)

  /** next is when the next ad may come, by what is in the log. */
  const next = () => {
    const { begun, over } = log.read()
    const within = begun.filter((at) => at > Date.now() - cappingMs)
    const capped = within.length < most ? 0 : within[within.length - most] + cappingMs
    const last = Math.max(over, ...begun)
    return Math.max(first, last && last + intervalMs, capped)
  }
  const begun = () => {
    const { begun, over } = log.read()
    log.write({ begun: [...begun.filter((at) => at > Date.now() - cappingMs), Date.now()], over })
  }

  const run = async () => {
    if (!most) return
    for (let pauseMs = 0; ; ) {
      await sleep(Math.max(pauseMs, next() - Date.now()))
      if (stopped) return
      pauseMs = lookMs
      if (!pageVisible() || next() > Date.now()) continue
      try {
        const outcome = await show(begun)
        if (outcome == 'shown') log.write({ ...log.read(), over: Date.now() })
        if (outcome == 'none') pauseMs = Math.max(lookMs, intervalMs)
      } catch (thrown) {
        const { message, retryMs } = thrown as CaromAdError
        if (retryMs === undefined) return console.warn(`carom: zone ${zone} shows no more ads in the app: ${message}`)
        pauseMs = Math.max(lookMs, intervalMs, retryMs)
      }
    }
  }
  void run()
  return () => {
    stopped = true
  }
}
