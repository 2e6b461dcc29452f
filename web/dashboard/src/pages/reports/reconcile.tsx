import { Alert, Anchor, Button, Card, FileButton, Group, Select, Stack, Table, Text, TextInput, Title } from '@mantine/core'
import { IconFileSpreadsheet } from '@tabler/icons-react'
import { useMutation, useQuery } from '@tanstack/react-query'
import { type DragEvent, type ReactNode, useState } from 'react'
import { api, ok, RequestFailed } from '../../api/client'
import { Answer, ProblemNote } from '../../parts/answer'
import { searchOf, useFilter } from '../../parts/filter'
import { count, money } from '../../parts/number'
import { Empty } from '../../parts/page'
import { When } from '../../parts/time'
import { Wide } from '../../parts/wide'
import { useSession } from '../../api/session'
import { Comparison } from './comparison'

/** maxBytes is what the server reads of one file. */
const maxBytes = 8 << 20

interface Chosen {
  name: string
  text: string
}

/** Reconcile reads a network's file of statistics, and explains where it differs from what carom counted. */
export default function Reconcile() {
  const [filter, setFilter] = useFilter()
  const { may } = useSession()
  const sources = useQuery({ queryKey: ['sources'], queryFn: async () => (await ok(api.GET('/v1/sources'))).sources })
  const [chosen, setChosen] = useState<Chosen | null>(null)
  const [tooLarge, setTooLarge] = useState<string | null>(null)
  const [zone, setZone] = useState('')
  const [currency, setCurrency] = useState('')
  const source = filter.source ?? ''

  const send = (dryRun: boolean) =>
    ok(
      api.POST('/v1/reconcile/statements', {
        params: { query: { source, file: chosen?.name, dry_run: dryRun, day_zone: zone || undefined, currency: currency || undefined } },
        headers: { 'Content-Type': 'text/csv' },
        body: chosen?.text as never, // the document calls the file binary
        bodySerializer: (text: unknown) => text as string,
      }),
    )
  const preview = useMutation({ mutationFn: () => send(true) })
  const keep = useMutation({ mutationFn: () => send(false), onSuccess: () => setChosen(null) })

  const take = async (file: File | null | undefined) => {
    preview.reset()
    keep.reset()
    setTooLarge(null)
    if (!file) return
    if (file.size > maxBytes) {
      setTooLarge(`${file.name} has ${(file.size / (1 << 20)).toFixed(1)} MiB, and at most 8 are read: export fewer days at a time`)
      return
    }
    setChosen({ name: file.name, text: await file.text() })
  }

  return (
    <Stack gap="md">
      <Text size="sm" c="dimmed" maw={720}>
        “Their dashboard says 1,000, we have 870.” Take the network's file of statistics, drop it here, and see which of the differences carom's own counts explain.
      </Text>
      <Answer query={sources}>
        {(list) => {
          const networks = list.filter((s) => s.profile !== 'api' && s.profile !== 'sdk')
          return networks.length === 0 ? (
            <Empty title="No network is connected">Connect one under Sources first.</Empty>
          ) : (
            <Select
              label="Source" description="Whose statistics the file holds" w={320} data={networks.map((s) => `${s.app}/${s.name}`)} value={source || null}
              onChange={(v) => setFilter({ source: v ?? '' })} searchable
            />
          )
        }}
      </Answer>
      {source && may('import-statement') && (
        <DropArea take={(file) => void take(file)}>
          {chosen ? (
            <Stack gap="sm" align="stretch" w="100%">
              <Text fw={600}>{chosen.name}</Text>
              <Group align="flex-end">
                <TextInput label="Time zone of its days" placeholder="what the file says" description="Such as Europe/Berlin" value={zone} onChange={(e) => setZone(e.currentTarget.value)} error={faultOf(preview.error ?? keep.error, 'day_zone')} />
                <TextInput label="Currency" placeholder="what the file says" description="Three letters" w={160} value={currency} onChange={(e) => setCurrency(e.currentTarget.value)} error={faultOf(preview.error ?? keep.error, 'currency')} />
              </Group>
              <ProblemNote error={preview.error ?? keep.error} />
              {preview.data && (
                <Alert color="blue" title={`${count(preview.data.statement.rows)} rows, ${preview.data.statement.from} to ${preview.data.statement.to}`}>
                  {preview.data.statement.notes.map((n) => (
                    <Text key={n} size="sm">
                      {n}
                    </Text>
                  ))}
                  <RowsRead rows={preview.data.rows ?? []} />
                </Alert>
              )}
              <Group>
                <Button variant="default" onClick={() => setChosen(null)}>
                  Take another file
                </Button>
                <Button variant={preview.data ? 'default' : 'filled'} onClick={() => preview.mutate()} loading={preview.isPending}>
                  Read it
                </Button>
                {preview.data && (
                  <Button onClick={() => keep.mutate()} loading={keep.isPending}>
                    Keep it and compare
                  </Button>
                )}
              </Group>
            </Stack>
          ) : (
            <>
              <IconFileSpreadsheet aria-hidden />
              <Text size="sm">Drop the network's CSV file here</Text>
              <FileButton onChange={(f) => void take(f)} accept=".csv,text/csv,text/plain,text/tab-separated-values">
                {(props) => (
                  <Button {...props} variant="default">
                    Choose a file
                  </Button>
                )}
              </FileButton>
              {tooLarge && (
                <Text c="red" size="sm" role="alert">
                  {tooLarge}
                </Text>
              )}
            </>
          )}
        </DropArea>
      )}
      {source && <Comparison source={source} />}
      <Statements source={source} />
    </Stack>
  )
}

function faultOf(error: unknown, field: string): string | undefined {
  return error instanceof RequestFailed ? error.faults[field] : undefined
}

function DropArea({ take, children }: { take: (file: File | undefined) => void; children: ReactNode }) {
  const [over, setOver] = useState(false)
  const on = (event: DragEvent, isOver: boolean) => {
    event.preventDefault()
    setOver(isOver)
  }
  return (
    <Card
      withBorder padding="lg" bg={over ? 'var(--mantine-color-blue-light)' : undefined} onDragOver={(e) => on(e, true)} onDragLeave={(e) => on(e, false)} data-drop
      onDrop={(e) => {
        on(e, false)
        take(e.dataTransfer.files[0])
      }}
    >
      <Stack align="center" gap="xs">
        {children}
      </Stack>
    </Card>
  )
}

function RowsRead({ rows }: { rows: { day: string; zone?: string; impressions?: number; clicks?: number; valued?: number; revenue?: string }[] }) {
  return (
    <Table.ScrollContainer minWidth={420} type="native" mah={220}>
      <Table aria-label="What was read">
        <Table.Thead>
          <Table.Tr>
            {['Day', 'Zone', 'Impressions', 'Clicks', 'Valued', 'Revenue'].map((h) => (
              <Table.Th key={h} scope="col">
                {h}
              </Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {rows.slice(0, 20).map((r, i) => (
            <Table.Tr key={i}>
              <Table.Td>{r.day}</Table.Td>
              <Table.Td>{r.zone}</Table.Td>
              {[r.impressions, r.clicks, r.valued].map((n, j) => (
                <Table.Td key={j}>{n === undefined ? '–' : count(n)}</Table.Td>
              ))}
              <Table.Td>{money(r.revenue)}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  )
}

function Statements({ source }: { source: string }) {
  const query = useQuery({
    queryKey: ['statements', source],
    queryFn: async () => (await ok(api.GET('/v1/reconcile/statements', { params: { query: { source: source || undefined } } }))).statements,
  })
  return (
    <section>
      <Title order={2} size="h4">
        Files that were kept
      </Title>
      <Answer query={query}>
        {(list) =>
          list.length === 0 ? (
            <Text size="sm" c="dimmed">
              None yet.
            </Text>
          ) : (
            <Wide minWidth={560}>
              <Table>
                <Table.Thead>
                  <Table.Tr>
                    {['File', 'Source', 'Days', 'Rows', 'Imported'].map((h) => (
                      <Table.Th key={h} scope="col">
                        {h}
                      </Table.Th>
                    ))}
                  </Table.Tr>
                </Table.Thead>
                <Table.Tbody>
                  {list.map((st) => (
                    <Table.Tr key={st.id}>
                      <Table.Td className="foreign">{st.file || '(no name)'}</Table.Td>
                      <Table.Td>
                        <Anchor href={`/reports/reconcile${searchOf({ source: st.source })}`}>{st.source}</Anchor>
                      </Table.Td>
                      <Table.Td>
                        {st.from} to {st.to}
                      </Table.Td>
                      <Table.Td>{count(st.rows)}</Table.Td>
                      <Table.Td>
                        <When at={st.at} /> by {st.by}
                      </Table.Td>
                    </Table.Tr>
                  ))}
                </Table.Tbody>
              </Table>
            </Wide>
          )
        }
      </Answer>
    </section>
  )
}
