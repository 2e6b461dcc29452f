// What a bundler's app imports. See ../sdk.d.mts for the promises that are made here.

import type * as face from '../sdk.mjs'
import { CaromAdError } from './error.js'
import { getShow } from './handler.js'
import { folder } from './tag.js'

export { CaromAdError }

/** findServer returns the server's address, from the options or from a script tag of the zone that is there by now. */
const findServer = (zone: string, { server, src }: face.HandlerOptions) => {
  const tag = () => document.querySelector<HTMLScriptElement>(`script[data-zone="${CSS.escape(zone)}"]`)?.src
  const found = server ? server.replace(/\/*$/, '/') : folder(src || tag())
  if (/^https?:\/\/./.test(found)) return found
  throw new CaromAdError('invalid', "createAdHandler: give the server's address, such as { server: 'https://ads.example' }")
}

export const createAdHandler: typeof face.createAdHandler = (zone, options = {}) =>
  // Nothing is touched before the first call: pages are also rendered where there is no browser.
  async (given) => getShow(findServer(String(zone), options), String(zone))(given)

export default createAdHandler
