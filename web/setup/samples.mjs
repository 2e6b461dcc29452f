// How a server checks a signature, to be copied from the page. The tests run these against what carom sends.

/** sampleGET is for a GET whose signature stands in the parameter. */
export const sampleGET = (parameter) => ({
  node: `import { createHmac, timingSafeEqual } from 'node:crypto'

// query: what stands behind the ? as it came, not decoded: req.url.split('?')[1]
function verified(query, secret) {
  const [, signed = '', list = ''] = /^(?:(.*)&)?${parameter}=([0-9a-f,]+)$/.exec(query ?? '') ?? []
  const want = createHmac('sha256', secret).update(signed).digest()
  return list.split(',').some((hex) => hex.length === 64 && timingSafeEqual(Buffer.from(hex, 'hex'), want))
}`,
  php: `$query = $_SERVER['QUERY_STRING'];
$verified = preg_match('/^(?:(.*)&)?${parameter}=([0-9a-f,]+)$/D', $query, $m)
    && array_filter(explode(',', $m[2]), fn($s) => hash_equals(hash_hmac('sha256', $m[1], $secret), $s));`,
})

/** samplePOST is for a POST, whose signature stands in its headers. */
export const samplePOST = () => ({
  node: `import { createHmac, timingSafeEqual } from 'node:crypto'

// body: the bytes as they came, before anything parses them
function verified(headers, body, secret) {
  const id = headers['webhook-id'], at = headers['webhook-timestamp']
  if (!(Math.abs(Date.now() / 1000 - at) < 300)) return false
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64')
  const want = Buffer.from('v1,' + createHmac('sha256', key).update(\`\${id}.\${at}.\`).update(body).digest('base64'))
  return (headers['webhook-signature'] ?? '').split(' ').some((given) => {
    given = Buffer.from(given)
    return given.length === want.length && timingSafeEqual(given, want)
  })
}`,
  php: `$body = file_get_contents('php://input');
$id = $_SERVER['HTTP_WEBHOOK_ID'] ?? '';
$at = $_SERVER['HTTP_WEBHOOK_TIMESTAMP'] ?? '';
$key = base64_decode(preg_replace('/^whsec_/', '', $secret));
$want = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$at.$body", $key, true));
$verified = abs(time() - (int) $at) < 300
    && array_filter(explode(' ', $_SERVER['HTTP_WEBHOOK_SIGNATURE'] ?? ''), fn($s) => hash_equals($want, $s));`,
})
