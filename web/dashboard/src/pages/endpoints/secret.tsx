import { Alert, Button, Card, Group, Select, Stack, Text, Title } from '@mantine/core'
import { IconKey } from '@tabler/icons-react'
import { useState } from 'react'
import type { Schemas } from '../../api/client'
import { Ask } from '../../parts/ask'
import { CopyText } from '../../parts/copy'
import { When } from '../../parts/time'
import type { Endpoint } from './data'
import { useWays } from './ways'

type Made = Schemas['MadeSigningSecret']

const overlaps = [
  { value: '24h', label: '24 hours' },
  { value: '1h', label: '1 hour' },
  { value: '7d', label: '7 days' },
  { value: '30d', label: '30 days' },
  { value: '0s', label: 'no time: it ends at once' },
]

/** Secret says with how many secrets a signed endpoint signs, and makes a new one beside which the old one counts for a while. */
export function Secret({ endpoint, dirty, changed }: { endpoint: Endpoint; dirty: boolean; changed: () => Promise<unknown> }) {
  const ways = useWays()
  const [asking, setAsking] = useState(false)
  const [keep, setKeep] = useState('24h')
  const [made, setMade] = useState<Made | null>(null)
  const ending = endpoint.secrets.filter((s) => s.not_after)
  if (!endpoint.signed) return null
  const path = { app: endpoint.app, name: endpoint.name }
  return (
    <Card withBorder component="section" aria-label="Signing secret">
      <Stack gap="sm">
        <Title order={2} size="h4">
          Signing secret
        </Title>
        {made && (
          <Alert color="yellow" title="The new signing secret is in force. It is shown only now" withCloseButton closeButtonLabel="I have it: hide it" onClose={() => setMade(null)}>
            <Stack gap="xs">
              <CopyText text={made.signing_secret} what="the new signing secret" />
              {made.old_until && (
                <Text size="sm">
                  Until <When at={made.old_until} /> requests carry the old signature as well.
                </Text>
              )}
            </Stack>
          </Alert>
        )}
        <Text size="sm">
          Requests are signed with {endpoint.secrets.length === 1 ? 'one secret' : `${endpoint.secrets.length} secrets`}, which nobody is shown again.
          {ending.map((s) => (
            <span key={s.not_after}>
              {' '}
              An old one ends <When at={s.not_after} form="ago" />.
            </span>
          ))}
        </Text>
        {ways.mayRenew && (
          <Group>
            <Button variant="default" leftSection={<IconKey size={16} aria-hidden />} disabled={dirty} onClick={() => setAsking(true)}>
              Make a new secret
            </Button>
            {dirty && (
              <Text size="xs" c="dimmed">
                Save your changes first
              </Text>
            )}
          </Group>
        )}
      </Stack>
      <Ask
        opened={asking} onClose={() => setAsking(false)} title={`A new signing secret for ${path.app}/${path.name}`} button="Make a new secret" color={keep === '0s' ? 'red' : 'blue'}
        act={async () => {
          setMade(await ways.renew(path.app, path.name, keep))
          await changed()
        }}
      >
        <Text size="sm">It is shown once. Requests are signed with both, until your server knows it.</Text>
        <Select label="The old one goes on signing for" data={overlaps} value={keep} onChange={(v) => setKeep(v ?? '24h')} allowDeselect={false} />
      </Ask>
    </Card>
  )
}
