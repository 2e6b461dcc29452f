// What the ES module exports.

import type { AdError, AdErrorCode, ShowAd } from './sdk.js'

export * from './sdk.js'

/**
 * Returns the function that shows ads of a zone, the same that the script tag defines. It starts nothing, and may be called
 * where there is no browser. Without options, a script tag of the zone has to be on the page when an ad is shown.
 */
export declare function createAdHandler(zone: string | number, options?: HandlerOptions): ShowAd

export interface HandlerOptions {
  /** The address of the server, such as https://ads.example */
  server?: string
  /** Instead of it the address of the script, such as https://ads.example/sdk.js */
  src?: string
}

/** The class of every rejection. */
export declare class CaromAdError extends Error implements AdError {
  constructor(code: AdErrorCode, message: string)
  name: 'CaromAdError'
  code: AdErrorCode
}

export default createAdHandler
