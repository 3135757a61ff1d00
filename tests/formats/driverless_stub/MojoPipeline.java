package ai.h2o.mojos.runtime;

import ai.h2o.mojos.runtime.frame.MojoFrame;
import ai.h2o.mojos.runtime.frame.MojoFrameBuilder;
import ai.h2o.mojos.runtime.frame.MojoFrameMeta;
import ai.h2o.mojos.runtime.frame.MojoRowBuilder;
import java.util.List;

/** Stands in for the licensed runtime in the adapter's test: its public methods, over a model of two sums. */
public class MojoPipeline {
    public static MojoPipeline loadFrom(String path) throws LicenseException {
        if (!"a-valid-key".equals(System.getProperty("ai.h2o.mojos.runtime.license.key"))) {
            throw new LicenseException("No valid license found");
        }
        return new MojoPipeline();
    }

    public String getUuid() {
        return "stub-uuid";
    }

    public MojoFrameMeta getInputMeta() {
        return new MojoFrameMeta(new String[] {"age", "visits", "plan"}, new String[] {"Float64", "Int32", "Str"});
    }

    public MojoFrameMeta getOutputMeta() {
        return new MojoFrameMeta(new String[] {"letters", "sum"}, new String[] {"Float64", "Float64"});
    }

    public MojoFrameBuilder getInputFrameBuilder() {
        return new MojoFrameBuilder();
    }

    public MojoFrame transform(MojoFrame input) {
        List<MojoRowBuilder> rows = input.rows;
        double[] letters = new double[rows.size()];
        double[] sum = new double[rows.size()];
        for (int i = 0; i < rows.size(); i++) {
            letters[i] = rows.get(i).cells.getOrDefault("plan", "").length();
            sum[i] = Double.parseDouble(rows.get(i).cells.getOrDefault("age", "0"))
                + Integer.parseInt(rows.get(i).cells.getOrDefault("visits", "0"));
        }
        return new MojoFrame(rows, new Object[] {letters, sum});
    }
}
