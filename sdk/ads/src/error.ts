// Why a Promise rejects.

import type { AdError, AdErrorCode } from '../sdk.js'

export class CaromAdError extends Error implements AdError {
  name = 'CaromAdError' as const
  /** How long the server asks to be left alone, when another try may help. */
  retryMs?: number
  code: AdErrorCode
  constructor(code: AdErrorCode, message: string) {
    super(message)
    this.code = code
  }
}
