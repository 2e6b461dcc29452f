// What the app passes, checked.

import type { AdOptions, AdType } from '../sdk.js'
import { CaromAdError } from './error.js'
import { webApp } from './telegram.js'

/** Ids are what goes to the server with every request for an ad. Absent is undefined, or empty for Telegram's. */
export interface Ids {
  ymid?: string
  request_var?: string
  telegram_id?: string
  init_data?: string
}

export interface Asked {
  type: AdType
  ids: Ids
  /** Whether the app itself has named a ymid. */
  ownYmid: boolean
  timeoutMs: number
  catchIfNoFeed: boolean
  inApp: { frequency: number; cappingMs: number; intervalMs: number; timeoutMs: number; everyPage: boolean }
}

const maxBytes = 256

const invalid = (text: string) => new CaromAdError('invalid', text)

/** text returns a field as the server takes it, and undefined for one that is not set. */
const text = (field: string, value: unknown) => {
  if (value === undefined || value === null || value === '') return
  if (!/^(string|bigint)$/.test(typeof value) && !Number.isFinite(value)) throw invalid(field + ': give a text or a number')
  const given = String(value)
  // Half a character is no text: it would arrive as another one.
  if (/[\0\p{Cs}]/u.test(given)) throw invalid(field + ': leave out NUL and halves of surrogate pairs')
  const { length } = new TextEncoder().encode(given)
  if (length > maxBytes) throw invalid(`${field}: ${length} bytes, at most ${maxBytes} are allowed`)
  return given
}

/** count returns a number of the settings, or its default. */
const count = (field: string, value: unknown, otherwise: number) => {
  if (value === undefined || value === null) return otherwise
  const given = +(value as number)
  if (!(given >= 0 && given < Infinity)) throw invalid(field + ': give a number that is not negative')
  return given
}

/** readOptions throws a CaromAdError that names what is wrong. */
export const readOptions = (given: unknown): Asked => {
  const options = (typeof given == 'object' && given ? given : { type: given }) as AdOptions
  const settings = options.inAppSettings || {}
  const app = webApp()
  const { id } = app?.initDataUnsafe?.user || {}
  const user = id ? String(id) : undefined
  const ymid = text('ymid', options.ymid)
  return {
    type: (['start', 'preload', 'pop', 'inApp'] as AdType[]).find((type) => type == options.type) || 'end',
    ids: {
      ymid: ymid || user,
      request_var: text('requestVar', options.requestVar),
      telegram_id: user,
      init_data: app?.initData || undefined,
    },
    ownYmid: !!ymid,
    timeoutMs: count('timeout', options.timeout, 0) * 1000,
    catchIfNoFeed: !!options.catchIfNoFeed,
    inApp: {
      frequency: count('inAppSettings.frequency', settings.frequency, 2),
      cappingMs: count('inAppSettings.capping', settings.capping, 0.1) * 3_600_000,
      intervalMs: count('inAppSettings.interval', settings.interval, 30) * 1000,
      timeoutMs: count('inAppSettings.timeout', settings.timeout, 5) * 1000,
      everyPage: !!settings.everyPage,
    },
  }
}
