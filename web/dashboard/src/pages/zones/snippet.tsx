import { SegmentedControl, Stack, Text } from '@mantine/core'
import { useState } from 'react'
import { CopyText } from '../../parts/copy'
import { callOf, formats } from './formats'

/** Snippet is what goes into the pages of an app to show the ads of a zone: the script tag, and the call for a format that the zone serves. */
export function Snippet({ zone, snippet, served, confirmed }: { zone: string; snippet: string; served: readonly string[]; confirmed: boolean }) {
  const calls = formats.filter((f) => served.includes(f.value))
  const [format, setFormat] = useState<string>(calls[0]?.value ?? '')
  const chosen = calls.find((f) => f.value === format) ?? calls[0]
  return (
    <Stack gap="sm">
      <div>
        <Text size="sm" fw={500} mb={4}>
          Once in the page
        </Text>
        <CopyText text={snippet} what="Script tag" />
      </div>
      {chosen && (
        <div>
          <Text size="sm" fw={500} mb={4}>
            Where an ad is to be shown
          </Text>
          {calls.length > 1 && (
            <SegmentedControl
              size="xs" mb={6} value={chosen.value} onChange={setFormat} aria-label={`Format of the call, zone ${zone}`} data={calls.map((f) => ({ value: f.value, label: f.label }))}
              style={{ maxWidth: '100%', overflowX: 'auto' }}
            />
          )}
          <CopyText text={callOf(zone, chosen)} what={`Call for ${chosen.label}`} />
        </div>
      )}
      <Text size="xs" c="dimmed">
        {confirmed ? 'The Promise settles once the view is confirmed or declined.' : 'The Promise settles when the ad is over.'} It is for telling the user: grant rewards when the postback arrives at your server.
      </Text>
    </Stack>
  )
}
